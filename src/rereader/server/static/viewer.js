/** A document of any length: only what is near the window is loaded and shown. */

import { el } from "./dom.js";
import { appendMarked } from "./segments.js";
import { Slice } from "./text.js";

const SLAB = 8_000;
const MOST_SLABS = 2_000;
/** Characters that are read past a slab's end, to end it at a line or a word. */
const MARGIN = 400;
const CHARACTERS_A_LINE = 70;
const PIXELS_A_LINE = 26;
const NEAR = "1500px";
/** Milliseconds after which the browser has told what came near the window. */
const LOOK = 80;
const MOST_LOOKS = 25;
/** Looks in a row at which all was in its place. */
const QUIET = 2;
const MOVES = ["wheel", "pointerdown", "touchstart", "keydown"];

/** Where a slab that was cut at an offset really ends: after a line, or a word, that begins soon behind it. */
function breakAfter(slice, offset) {
  const tail = slice.cut(offset - 1, offset + MARGIN);
  for (const separator of ["\n", " "]) {
    const found = tail.indexOf(separator);
    if (found >= 0) return offset + new Slice(tail.slice(0, found), 0).end;
  }
  return offset;
}

/** Shows a document in a part of the page that scrolls. */
export class Viewer {
  /**
   * @param {function(number, number): Promise<{start: number, text: string}>} read characters [start, end)
   * @param {number} length characters of the document
   * @param {string} label what the part is called to readers of the screen
   */
  constructor(read, length, label) {
    this.read = read;
    this.length = length;
    this.ranges = [];
    this.target = null;
    this.turn = 0;
    this.held = false;
    this.size = Math.max(SLAB, Math.ceil(length / MOST_SLABS));
    this.element = el("div.viewer", { tabindex: "0", role: "region", "aria-label": label });
    this.slabs = [];
    for (let start = 0; start < length; start += this.size) this.addSlab(start);
    this.observer = new IntersectionObserver((seen) => this.scrolled(seen), { root: this.element, rootMargin: NEAR });
    for (const slab of this.slabs) this.observer.observe(slab.node);
    for (const kind of MOVES) this.element.addEventListener(kind, () => { this.held = false; }, { passive: true });
  }

  addSlab(start) {
    const node = el("div.slab", { dir: "auto" });
    const end = Math.min(start + this.size, this.length);
    node.style.minHeight = `${Math.ceil((end - start) / CHARACTERS_A_LINE) * PIXELS_A_LINE}px`;
    node.dataset.slab = String(this.slabs.length);
    this.element.append(node);
    this.slabs.push({ start, end, node, slice: null, loading: null, near: false });
  }

  /** Stop watching; the viewer is not shown any more. */
  close() {
    this.observer.disconnect();
    this.turn += 1;
  }

  /** Mark ranges of the document; those before are forgotten. */
  mark(ranges) {
    this.ranges = ranges;
    this.draw();
  }

  /**
   * Scroll to characters and highlight them; resolves when they are on the screen.
   * @param {boolean} focus whether the keyboard's focus goes there
   */
  async goTo(start, end, focus = true) {
    this.turn += 1;
    const turn = this.turn;
    this.target = { start, end: Math.max(end, start), kind: "target" };
    const first = Math.min(this.slabs.length - 1, Math.floor(start / this.size));
    const last = Math.min(this.slabs.length - 1, Math.floor(Math.max(start, end - 1) / this.size));
    const around = this.slabs.slice(Math.max(0, first - 1), Math.min(last, first + 2) + 2);
    for (const slab of around) slab.near = true;
    await Promise.all(around.map((slab) => this.load(slab)));
    if (turn !== this.turn) return;
    this.draw();
    this.scrollToTarget(first);
    if (focus) this.showFocus();
    await this.hold(first, turn);
  }

  /** Bring the target into the upper part; returns how far it was from there (pixels). */
  scrollToTarget(first) {
    const found = this.element.querySelector("mark.target") ?? this.slabs[first]?.node;
    if (!found) return 0;
    const inside = found.getBoundingClientRect();
    const outside = this.element.getBoundingClientRect();
    const before = this.element.scrollTop;
    this.element.scrollTop += inside.top - outside.top - outside.height / 3;
    return Math.abs(this.element.scrollTop - before);
  }

  /** Keep the target in its place while its neighbours get their true height, unless the reader scrolls. */
  async hold(first, turn) {
    this.held = true;
    for (let look = 0, quiet = 0; look < MOST_LOOKS && quiet < QUIET; look += 1) {
      await new Promise((resolve) => { setTimeout(resolve, LOOK); });
      const coming = this.slabs.filter((slab) => slab.near && slab.loading && !slab.slice);
      await Promise.allSettled(coming.map((slab) => slab.loading));
      if (turn !== this.turn || !this.held) return;
      quiet = this.scrollToTarget(first) < 1 && !coming.length ? quiet + 1 : 0;
    }
    this.held = false;
  }

  showFocus() {
    const outside = this.element.getBoundingClientRect();
    this.focusTarget();
    if (outside.top > innerHeight - 80 || outside.bottom < 80) this.element.scrollIntoView({ block: "start" });
  }

  focusTarget() {
    const mark = this.element.querySelector("mark.target");
    if (!mark) return;
    mark.tabIndex = -1;
    mark.focus({ preventScroll: true });
  }

  scrolled(entries) {
    for (const entry of entries) {
      const slab = this.slabs[Number(entry.target.dataset.slab)];
      slab.near = entry.isIntersecting;
      if (slab.near) this.load(slab).catch((error) => this.tell(slab, error));
      else if (slab.slice) this.unload(slab);
    }
  }

  unload(slab) {
    const { height } = slab.node.getBoundingClientRect();
    if (height) slab.node.style.minHeight = `${height}px`;
    slab.node.replaceChildren();
    slab.slice = null;
    slab.loading = null;
  }

  load(slab) {
    slab.loading ??= this.bring(slab);
    return slab.loading;
  }

  async bring(slab) {
    const from = Math.max(0, slab.start - 1);
    const got = await this.read(from, Math.min(this.length, slab.end + MARGIN));
    const whole = new Slice(got.text, got.start);
    const start = slab.start === 0 ? 0 : breakAfter(whole, slab.start);
    const end = slab.end === this.length ? this.length : breakAfter(whole, slab.end);
    slab.slice = new Slice(whole.cut(start, end), start);
    this.drawSlab(slab);
    slab.node.style.minHeight = "";
    if (!slab.near) this.unload(slab);
  }

  tell(slab, error) {
    slab.loading = null;
    slab.node.replaceChildren(el("p.bad", {}, error.message));
  }

  draw() {
    for (const slab of this.slabs) if (slab.slice) this.drawSlab(slab);
  }

  drawSlab(slab) {
    const focused = slab.node.contains(document.activeElement);
    slab.node.replaceChildren();
    appendMarked(slab.node, slab.slice, this.target ? [...this.ranges, this.target] : this.ranges);
    if (focused) this.focusTarget();
  }
}
