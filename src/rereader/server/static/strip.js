/** A strip of all chunks of a run's documents, drawn by what had become of each: by colour, and by height or shape. */

import { announce, el } from "./dom.js";
import { FATES } from "./fates.js";
import { count } from "./format.js";
import { colour } from "./theme.js";
import { plain } from "./text.js";

const HEIGHT = 18;
const GAP = 4;
const WIDEST = 14;
const NARROWEST = 3;
/** Width of a bar of the legend. */
const KEY = 10;
/** Part of the height that a bar of each fate takes. */
const HEIGHTS = [0.12, 0.4, 0.55, 0.7, 0.85, 1];

/** The colours of now: asked for once a drawing, since asking is slow. */
function palette() {
  const fates = FATES.map(({ name }) => [name, colour(`fate-${name}`)]);
  return { ...Object.fromEntries(fates), paper: colour("paper"), link: colour("link"), ink: colour("ink") };
}

/** Make a canvas so large (pixels of the page) and empty; returns what draws on it. */
function cleared(canvas, width, height) {
  const scale = devicePixelRatio || 1;
  canvas.width = width * scale;
  canvas.height = height * scale;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  return context;
}

function paint(context, colours, rank, x, y, width) {
  const bar = Math.max(2, Math.round(HEIGHT * HEIGHTS[rank]));
  const top = y + HEIGHT - bar;
  const inner = Math.max(1, width - 1);
  context.fillStyle = colours[FATES[rank].name];
  if (FATES[rank].name === "out") {
    context.fillRect(x, y + HEIGHT - 2, inner, 2);
    context.fillRect(x, top, inner, 2);
  } else {
    context.fillRect(x, top, inner, bar);
  }
  if (FATES[rank].name === "quoted") {
    context.fillStyle = colours.paper;
    context.fillRect(x, y + 4, inner, 2);
  }
}

/** The strip with its legend. */
export class Strip {
  /**
   * @param {Fates} fates
   * @param {Map<string, string>} titles of documents
   * @param {function({document_id: string, start: number, end: number}): void} open shows a chunk
   */
  constructor(fates, titles, open) {
    Object.assign(
      this,
      { fates, titles, open, step: 0, chosen: -1, ranks: new Uint8Array(fates.count), now: new Set() },
    );
    this.canvas = el("canvas", { tabindex: "0", role: "img" });
    this.told = el("p.small.strip-told", {}, "Point at a chunk, or walk with the arrow keys; Enter opens it.");
    this.keys = FATES.map(() => el("canvas.key", { "aria-hidden": "true" }));
    this.counts = FATES.map(() => el("b", {}));
    const items = FATES.map(({ words, hint }, rank) =>
      el("li", { title: hint }, this.keys[rank], ` ${words} `, this.counts[rank]),
    );
    this.legend = el("ul.legend", { "aria-label": "What had become of the chunks" }, items);
    this.element = el("div.strip", {}, el("div.strip-room.scrolls", {}, this.canvas), this.legend, this.told);
    this.canvas.addEventListener("mousemove", (event) => this.point(this.under(event)));
    this.canvas.addEventListener("click", (event) => this.pick(this.under(event)));
    this.canvas.addEventListener("keydown", (event) => this.press(event));
    this.watch = new ResizeObserver(() => this.draw());
    this.watch.observe(this.element);
    this.redraw = () => this.draw();
    addEventListener("themechange", this.redraw);
  }

  /** Stop watching the size of the page. */
  close() {
    this.watch.disconnect();
    removeEventListener("themechange", this.redraw);
  }

  /** Show how things were after a step. */
  show(step) {
    this.step = step;
    this.ranks = this.fates.upTo(step);
    this.now = this.fates.at(step);
    this.tell();
    this.draw();
  }

  tell() {
    const counts = FATES.map(() => 0);
    for (const rank of this.ranks) counts[rank] += 1;
    this.counts.forEach((node, rank) => {
      node.textContent = count(counts[rank]);
    });
    const summary = FATES.map(({ words }, rank) => `${words} ${counts[rank]}`).join(", ");
    this.canvas.setAttribute(
      "aria-label",
      `${count(this.fates.count)} stretches of text up to step ${this.step}: ${summary}`,
    );
  }

  measure() {
    const room = this.element.clientWidth;
    const cell = Math.max(NARROWEST, Math.min(WIDEST, Math.floor((room * 4) / Math.max(1, this.fates.count))));
    this.cell = cell;
    this.columns = Math.max(1, Math.floor(room / cell));
    this.rows = Math.ceil(this.fates.count / this.columns);
  }

  draw() {
    if (!this.element.clientWidth) return;
    this.measure();
    const colours = palette();
    this.keys.forEach((key, rank) => paint(cleared(key, KEY, HEIGHT), colours, rank, 0, 0, KEY));
    const context = cleared(this.canvas, this.columns * this.cell, Math.max(1, this.rows) * (HEIGHT + GAP));
    for (let place = 0; place < this.fates.count; place += 1) {
      const x = (place % this.columns) * this.cell;
      const y = Math.floor(place / this.columns) * (HEIGHT + GAP);
      paint(context, colours, this.ranks[place], x, y, this.cell);
      if (this.now.has(place) || place === this.chosen) {
        context.fillStyle = place === this.chosen ? colours.link : colours.ink;
        context.fillRect(x, y + HEIGHT + 1, Math.max(1, this.cell - 1), 2);
      }
    }
  }

  under(event) {
    const column = Math.floor(event.offsetX / this.cell);
    const place = Math.floor(event.offsetY / (HEIGHT + GAP)) * this.columns + column;
    return column < this.columns && place >= 0 && place < this.fates.count ? place : -1;
  }

  point(place) {
    this.canvas.classList.toggle("pointing", place >= 0);
    if (place < 0 || place === this.chosen) return;
    this.chosen = place;
    const span = this.fates.span(place);
    const title = plain(this.titles.get(span.document_id) ?? "");
    const name = `${span.cut ? "chunk" : "stretch"} ${count(span.chunk)}`;
    const where = `${name}, characters ${count(span.start)}–${count(span.end)}`;
    this.told.textContent = `${title}, ${where}: ${FATES[this.ranks[place]].words}`;
    this.draw();
  }

  pick(place) {
    if (place >= 0) this.open(this.fates.span(place));
  }

  press(event) {
    const moves = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.columns, ArrowUp: -this.columns };
    if (event.key === "Enter" || event.key === " ") this.pick(this.chosen);
    else if (event.key in moves) {
      this.point(Math.max(0, Math.min(this.chosen + moves[event.key], this.fates.count - 1)));
      announce(this.told.textContent);
    } else return;
    event.preventDefault();
  }
}
