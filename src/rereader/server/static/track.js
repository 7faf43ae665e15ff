/** One run walked through step by step: the slider, and the panels of the step that it stands at. */

import { callsPart } from "./calls.js";
import { decisionsPart } from "./decisions.js";
import { debounced, el, fill } from "./dom.js";
import { errorPanel } from "./errors.js";
import { MemoryPanel } from "./memory.js";
import { Slider } from "./slider.js";
import { stepDetail, stepFigures } from "./stephead.js";

/** Moves that follow each other faster than this (milliseconds) read only the last step. */
const FAST = 100;

/** The steps of a run. */
export class Track {
  /**
   * @param {RunData} data
   * @param {object} doing
   * @param {function(object): void} doing.open shows a span of the source
   * @param {function(number, string): void} doing.moved told the new place, and "slide" or "jump"
   * @param {function(object): void} [doing.shown] told everything of a step that is shown
   */
  constructor(data, { open, moved, shown = () => {} }) {
    Object.assign(this, { data, open, moved, shown, place: -1, direction: 1, movedAt: 0, eager: false });
    this.slider = new Slider("Steps of the run", (place) => data.tell(place), (place) => this.goTo(place, "slide"));
    this.name = el("output.step-name", {});
    this.bar = el("div.track-bar", {}, this.name, this.slider.element);
    this.figures = el("div", {});
    this.noted = el("div", {});
    this.memory = new MemoryPanel(data, open);
    this.rest = el("div", {});
    this.element = el("div.step", {}, this.figures, this.noted, this.memory.element, this.rest);
    this.readLater = debounced((place) => this.read(place), FAST / 2);
  }

  /** Stand at a place; how says whether the user slid ("slide"), jumped ("jump") or nothing need be told (""). */
  goTo(place, how = "") {
    const wanted = Math.max(0, Math.min(place, this.data.steps.length - 1));
    const direction = wanted < this.place ? -1 : 1;
    const changed = wanted !== this.place;
    this.direction = direction;
    this.place = wanted;
    this.slider.set(this.data.steps.length, wanted);
    this.name.textContent = this.data.tell(wanted);
    if (!this.data.steps.length) {
      this.place = -1;
      return;
    }
    if (changed) {
      fill(this.figures, stepFigures(this.data, wanted));
      this.bring(wanted);
    }
    if (how) this.moved(wanted, how);
  }

  /** Take up steps that came since. */
  grow(follow) {
    const atEnd = this.place < 0 || (follow && this.place === this.slider.last);
    this.goTo(atEnd ? this.data.steps.length - 1 : this.place, atEnd ? "slide" : "");
  }

  /** Read the neighbours of the step before they are asked for, now and from now on. */
  lookAhead() {
    this.eager = true;
    this.data.lookAhead(this.place, this.direction);
  }

  bring(place) {
    const now = performance.now();
    const fast = now - this.movedAt < FAST;
    this.movedAt = now;
    const known = this.data.known(place);
    if (known) this.show(place, known);
    else if (fast) this.readLater(place);
    else this.read(place);
  }

  async read(place) {
    if (place !== this.place) return;
    this.element.setAttribute("aria-busy", "true");
    try {
      const view = await this.data.view(place);
      if (place === this.place) this.show(place, view);
    } catch (error) {
      if (place === this.place) fill(this.rest, errorPanel(error, () => this.read(place)));
    }
    this.element.removeAttribute("aria-busy");
  }

  show(place, view) {
    fill(this.noted, stepDetail(view.detail));
    this.memory.show(place, view);
    fill(
      this.rest,
      view.decisions.length > 0 && decisionsPart(view.decisions, this.data.titles, this.open),
      view.calls.length > 0 && callsPart(view.calls, this.open),
    );
    this.element.dataset.shown = String(view.number);
    this.shown(view);
    if (this.eager) this.lookAhead();
  }
}
