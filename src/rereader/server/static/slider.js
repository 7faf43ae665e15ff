/** A slider over the steps of a run, with buttons, worked by the keyboard. */

import { button, el, inField } from "./dom.js";

const FAR = 10;
const KEYS = {
  j: (place) => place + 1,
  k: (place) => place - 1,
  ArrowRight: (place) => place + 1,
  ArrowLeft: (place) => place - 1,
  PageDown: (place) => place + FAR,
  PageUp: (place) => place - FAR,
  Home: () => 0,
  End: (_, last) => last,
};
/** Keys that move the slider wherever the focus is; the others scroll the page unless the slider has it. */
const EVERYWHERE = ["j", "k", "ArrowRight", "ArrowLeft"];
const WHERE_IT_SCROLLS = ".viewer, .scrolls";

/** A slider over places 0 to count - 1. */
export class Slider {
  /**
   * @param {string} label what is slid over
   * @param {function(number): string} tell what a place is called
   * @param {function(number): void} moved called with the new place when the user moved it
   */
  constructor(label, tell, moved) {
    this.tell = tell;
    this.moved = moved;
    this.place = 0;
    this.last = 0;
    this.range = el("input", { type: "range", min: "0", step: "1", "aria-label": label });
    this.range.addEventListener("input", () => this.move(Number(this.range.value)));
    this.range.addEventListener("keydown", (event) => this.press(event));
    const to = (name, sign, where) => button(sign, () => this.move(where()), { "aria-label": name, title: name });
    this.element = el(
      "div.slider",
      { role: "group", "aria-label": label },
      to("First step (Home)", "⇤", () => 0),
      to("Step before (k or ←)", "←", () => this.place - 1),
      this.range,
      to("Next step (j or →)", "→", () => this.place + 1),
      to("Last step (End)", "⇥", () => this.last),
    );
  }

  /** Set how many places there are, and the place, without telling. */
  set(count, place) {
    this.last = Math.max(0, count - 1);
    this.place = Math.max(0, Math.min(place, this.last));
    this.range.max = String(this.last);
    this.range.value = String(this.place);
    this.range.setAttribute("aria-valuetext", count ? this.tell(this.place) : "no steps yet");
  }

  /** Move to a place as the user does. */
  move(place) {
    const wanted = Math.max(0, Math.min(place, this.last));
    if (wanted === this.place) return;
    this.set(this.last + 1, wanted);
    this.moved(wanted);
  }

  /** Follow a key if it is one of ours; those pressed in fields and in texts that scroll are theirs. */
  press(event) {
    const where = KEYS[event.key];
    if (!where || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.currentTarget !== this.range && this.theirs(event)) return;
    event.preventDefault();
    this.move(where(this.place, this.last));
  }

  theirs(event) {
    if (inField(event.target) || !EVERYWHERE.includes(event.key)) return true;
    const scrolling = event.target instanceof Element && event.target.closest(WHERE_IT_SCROLLS);
    return Boolean(scrolling) && !["j", "k"].includes(event.key);
  }
}
