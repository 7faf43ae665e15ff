/** A run as the page knows it: its steps in a line each, and what was read of them so far. */

import { outline, records, run as readRun, step as readStep } from "./api.js";
import { Ledger } from "./ledger.js";

const MOST_RECORDS = 200;
const AHEAD = 3;
const KEPT_STEPS = 200;

/** One run; everything is read once. */
export class RunData {
  constructor(told) {
    this.take(told);
    this.steps = [];
    this.places = new Map();
    this.ledger = new Ledger();
    this.views = new Map();
    this.read = new Map();
    this.records = new Map();
    this.wanted = new Map();
    this.spent = [];
    /** The last step that a fork with a change can leave from; null while the answer is open. */
    this.lastOpen = null;
    /** The step after that, which decides the answer. */
    this.decided = null;
    this.growing = Promise.resolve();
  }

  /** Read a run and the outline of its steps. */
  static async read(id) {
    const [told, lines] = await Promise.all([readRun(id), outline(id, 0)]);
    const data = new RunData(told);
    data.append(lines);
    return data;
  }

  take(told) {
    Object.assign(this, { run: told.run, documents: told.documents, atWork: told.at_work, job: told.job });
    this.titles = new Map(told.documents.map((one) => [one.id, one.title]));
  }

  /** Read again how the run stands. */
  async refresh() {
    this.take(await readRun(this.run.id));
  }

  /** Read the steps that were finished since. */
  grow() {
    this.growing = this.growing.then(
      async () => this.append(await outline(this.run.id, this.steps.at(-1)?.number ?? 0)),
    );
    return this.growing;
  }

  append({ steps, changes }) {
    const last = this.steps.at(-1)?.number ?? -1;
    for (const step of steps.filter((one) => one.number > last)) {
      const before = this.spent.at(-1) ?? { calls: 0, cached_calls: 0, tokens: 0, seconds: 0 };
      if (step.decides && this.decided === null) {
        this.decided = step.number;
        this.lastOpen = this.steps.at(-1)?.number ?? 0;
      }
      this.places.set(step.number, this.steps.length);
      this.steps.push(step);
      this.spent.push({
        calls: before.calls + step.calls,
        cached_calls: before.cached_calls + step.cached_calls,
        tokens: before.tokens + step.tokens,
        seconds: before.seconds + step.seconds,
      });
    }
    const known = this.ledger.changes.at(-1)?.[0] ?? -1;
    this.ledger.add(changes.filter(([version]) => version > known));
  }

  /** The place of a step's number in the order of steps; the last place for null and for numbers that there are not. */
  placeOf(number) {
    return this.places.get(number) ?? Math.max(0, this.steps.length - 1);
  }

  /** What a place of the slider is called. */
  tell(place) {
    const step = this.steps[place];
    return step ? `step ${step.number} of ${this.steps.at(-1).number}: ${step.node}` : "no steps yet";
  }

  /** The working memory after the step at a place. */
  memoryAt(place) {
    return this.ledger.at(this.steps[place]?.memory_version ?? 0);
  }

  /** Everything of the step at a place; kept, the oldest is forgotten. */
  view(place) {
    const { number } = this.steps[place];
    if (!this.views.has(number)) {
      const reading = readStep(this.run.id, number);
      this.views.set(number, reading);
      reading.then((view) => this.read.set(number, view)).catch(() => this.views.delete(number));
      if (this.views.size > KEPT_STEPS) this.forget(this.views.keys().next().value);
    }
    return this.views.get(number);
  }

  forget(number) {
    this.views.delete(number);
    this.read.delete(number);
  }

  /** Everything of the step at a place if it was read before; undefined if not. */
  known(place) {
    return this.read.get(this.steps[place].number);
  }

  /** Read the steps around a place before they are asked for; those in the direction of the last move first. */
  lookAhead(place, direction) {
    const near = Array.from({ length: AHEAD }, (_, index) => place + direction * (index + 1));
    for (const next of [...near, place - direction]) if (this.steps[next]) this.view(next).catch(() => {});
  }

  /** Records by id; what is not known yet is asked for together with what others want at this moment. */
  async recordsOf(ids) {
    const missing = ids.filter((id) => !this.records.has(id));
    await Promise.all(missing.map((id) => this.want(id)));
    return ids.map((id) => this.records.get(id)).filter(Boolean);
  }

  want(id) {
    if (!this.wanted.has(id)) {
      if (!this.batch) {
        this.batch = { ids: [], promise: Promise.resolve().then(() => this.fetchBatch()) };
      }
      this.batch.ids.push(id);
      this.wanted.set(id, this.batch.promise);
    }
    return this.wanted.get(id);
  }

  async fetchBatch() {
    const { ids } = this.batch;
    this.batch = null;
    try {
      for (let first = 0; first < ids.length; first += MOST_RECORDS) {
        const found = await records(this.run.id, ids.slice(first, first + MOST_RECORDS));
        for (const [id, record] of Object.entries(found)) this.records.set(id, record);
      }
    } finally {
      for (const id of ids) this.wanted.delete(id);
    }
  }
}
