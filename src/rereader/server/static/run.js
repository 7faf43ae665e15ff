/** One run: its answer, its steps under a slider, its chunks, its source. */

import { chunks, job as readJob } from "./api.js";
import { jump, readRange, replace, runAddress } from "./address.js";
import { AnswerPanel } from "./answer.js";
import { courseForm } from "./course.js";
import { debounced, el, fill } from "./dom.js";
import { errorPanel } from "./errors.js";
import { evidenceAt, quoteOrder } from "./evidence.js";
import { Fates } from "./fates.js";
import { JobCard } from "./jobcard.js";
import { ended, knownJob, listen } from "./live.js";
import { RunData } from "./rundata.js";
import { RunHead } from "./runhead.js";
import { SourcePanel } from "./source.js";
import { offline } from "./stored.js";
import { Strip } from "./strip.js";
import { Track } from "./track.js";

const LATER = 250;
/** Milliseconds between two looks at a run that another program works on. */
const POLL = 4_000;

class RunView {
  constructor(root, data) {
    this.data = data;
    this.settled = false;
    this.head = new RunHead(data);
    this.working = el("div", {});
    this.stripRoom = el("div", {});
    this.source = new SourcePanel(data);
    this.track = new Track(data, {
      open: (span) => this.open(span),
      moved: (place, how) => this.moved(place, how),
      shown: (view) => this.source.follow(view),
    });
    this.answer = new AnswerPanel(data, (place) => this.showQuote(place), (number) => this.goToStep(number));
    this.markLater = debounced(() => this.readEvidence(), LATER);
    this.growLater = debounced(() => this.grow(), LATER);
    fill(root, this.head.element, this.working, this.stripRoom, this.track.bar, this.panes());
    this.press = (event) => this.track.slider.press(event);
    document.addEventListener("keydown", this.press);
    this.deafen = listen((kind, told) => this.hear(kind, told));
    this.polling = setInterval(() => this.poll(), POLL);
  }

  /** A run that another program works on tells no events. */
  async poll() {
    if (!this.data.atWork || this.card) return;
    await this.data.refresh().catch(() => {});
    if (this.data.atWork) await this.grow().catch(() => {});
    else await this.finish();
  }

  panes() {
    const course = offline ? "" : courseForm(this.data.run.id, (number) => this.goToStep(number));
    return el(
      "div.panes",
      {},
      el("div.pane", {}, this.answer.element, course),
      el("div.pane", {}, this.track.element),
      el("div.pane.beside", {}, this.source.element),
    );
  }

  close() {
    document.removeEventListener("keydown", this.press);
    this.deafen();
    clearInterval(this.polling);
    this.source.close();
    this.strip?.close();
  }

  address(place, values = {}) {
    return runAddress(this.data.run.id, this.data.steps[place]?.number ?? null, values);
  }

  moved(place, how) {
    if (how === "jump") jump(this.address(place));
    else replace(this.address(place));
    this.drawAt(place);
  }

  drawAt(place) {
    const number = this.data.steps[place]?.number ?? null;
    this.head.at(number);
    this.strip?.show(number ?? 0);
    this.markEvidence();
  }

  goToStep(number) {
    this.track.goTo(this.data.placeOf(number), "jump");
  }

  markEvidence() {
    const { ranges, missing } = evidenceAt(this.data, this.track.place);
    this.source.markQuotes(ranges);
    if (missing.length && this.settled) this.markLater();
  }

  async readEvidence() {
    const { missing } = evidenceAt(this.data, this.track.place);
    const found = await this.data.recordsOf(missing).catch(() => []);
    if (found.length) this.source.markQuotes(evidenceAt(this.data, this.track.place).ranges);
  }

  /** The quote that the answer's first claim rests on. */
  get cited() {
    const { answer } = this.data.run;
    const place = answer && quoteOrder(answer).cited[0];
    return answer?.evidence[place] ?? null;
  }

  showQuote(place) {
    const { document_id: doc, start, end } = this.data.run.answer.evidence[place];
    this.open({ document_id: doc, start, end });
  }

  open(span) {
    const values = { doc: span.document_id, at: `${span.start}-${span.end}` };
    jump(this.address(this.track.place, values));
    return this.source.open(span);
  }

  /** Go where an address points: a step, and characters of the source. */
  update({ step, query }) {
    this.track.goTo(this.data.placeOf(step === null ? null : Number(step)));
    this.drawAt(this.track.place);
    const range = readRange(query.get("at"));
    const shown = query.get("doc") ?? this.data.documents[0]?.id;
    if (range && shown) this.source.open({ document_id: shown, ...range });
    else if (step === null && this.cited) this.source.open(this.cited, false);
  }

  /** Read what the first sight does without, one after the other. */
  async readRest() {
    await this.readFates();
    this.settled = true;
    if (this.data.steps.length) this.track.lookAhead();
    this.markEvidence();
  }

  async readFates() {
    try {
      const fates = new Fates(await chunks(this.data.run.id));
      this.strip?.close();
      this.strip = new Strip(fates, this.data.titles, (span) => this.open(span));
      fill(this.stripRoom, this.strip.element);
      this.strip.show(this.data.steps[this.track.place]?.number ?? 0);
    } catch (error) {
      fill(this.stripRoom, errorPanel(error, () => this.readFates()));
    }
  }

  async showJob() {
    if (!this.data.job) return;
    const job = knownJob(this.data.job) ?? (await readJob(this.data.job).catch(() => null));
    if (!job || ended(job)) return;
    this.watch(job);
  }

  watch(job) {
    this.card = new JobCard(job, () => fill(this.working));
    fill(this.working, this.card.element);
  }

  hear(kind, told) {
    if (told.run !== this.data.run.id) return;
    if (kind === "step") {
      this.card?.step(told);
      this.growLater();
    }
    if (kind === "progress") this.card?.progress(told);
    if (kind === "job") this.hearJob(told);
    if (kind === "warning" && this.card) this.card.show(this.card.job);
  }

  hearJob(job) {
    if (!this.card && !ended(job)) this.watch(job);
    this.card?.show(job);
    if (ended(job)) this.finish();
    else this.growLater();
  }

  async grow() {
    await this.data.grow();
    this.track.grow(true);
    await this.readFates();
  }

  async finish() {
    await Promise.all([this.data.refresh(), this.data.grow()]);
    if (this.card?.job.state === "done") fill(this.working);
    this.card = null;
    this.answer.draw();
    this.head.draw();
    this.track.grow(true);
    this.drawAt(this.track.place);
    await this.readFates();
  }
}

/**
 * Show a run.
 * @param {HTMLElement} root
 * @param {{id: string, step: string|null, query: URLSearchParams}} where
 */
export async function runView(root, where) {
  const data = await RunData.read(where.id);
  const view = new RunView(root, data);
  view.update(where);
  view.readRest();
  view.showJob();
  return { title: data.run.question, close: () => view.close(), update: (next) => view.update(next) };
}
