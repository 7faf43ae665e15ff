/** A job at work: its stage, progress, time to come, warnings, and a button that stops it. */

import { stop } from "./api.js";
import { announce, button, el, fill } from "./dom.js";
import { count, duration, spaced, stateWords } from "./format.js";
import { errorPanel } from "./errors.js";
import { ended } from "./live.js";
import { runAddress } from "./address.js";
import { said, shortened } from "./text.js";

const KINDS = { ask: "Question", fork: "Fork", resume: "Resumed run", add: "New document" };

function expected({ tokens_per_second: speed, eta_seconds: eta }) {
  const parts = [
    eta !== null && eta !== undefined && `about ${duration(Math.max(1, Math.round(eta)))} to go`,
    speed && `${count(Math.round(speed))} tokens a second`,
  ];
  return parts.filter(Boolean).join(" · ");
}

/** A card of one job. */
export class JobCard {
  /**
   * @param {object} job as the server tells it
   * @param {function(): void} dismiss takes away the card of a job that came to no good end
   */
  constructor(job, dismiss) {
    this.node = null;
    this.bar = el("progress", { "aria-label": "Progress of this stage" });
    this.stage = el("span.stage", {});
    this.figures = el("span.small", {});
    this.state = el("b", {});
    this.notes = el("div", {});
    this.stopping = button("Stop", () => this.stop());
    this.dismissing = button("Dismiss", dismiss);
    this.element = el(
      "section.job.note",
      { "aria-label": KINDS[job.kind] ?? job.kind },
      el(
        "p.bar",
        {},
        this.state,
        job.question ? said(shortened(job.question, 200)) : (KINDS[job.kind] ?? job.kind),
        this.stopping,
        this.dismissing,
      ),
      this.bar,
      el("p.bar", {}, this.stage, this.figures),
      this.notes,
    );
    this.show(job);
  }

  /** Show how the job stands now. */
  show(job) {
    if (this.job && this.job.state !== job.state) announce(`${KINDS[job.kind] ?? job.kind}: ${stateWords(job.state)}`);
    this.job = job;
    this.element.dataset.state = job.state;
    const place = job.state === "waiting" && job.place > 0 ? `, ${job.place} before it` : "";
    this.state.textContent = stateWords(job.state) + place;
    this.stopping.hidden = ended(job);
    this.dismissing.hidden = !["failed", "stopped"].includes(job.state);
    this.progress(job.progress);
    fill(
      this.notes,
      job.warnings.map((text) => said(text, "p", "warning")),
      job.error && errorPanel({ message: job.error.error, hint: job.error.hint }),
      !this.dismissing.hidden && job.run && el(
        "p.small",
        {},
        "The run can be resumed. ",
        el("a", { href: runAddress(job.run) }, "See the run"),
      ),
    );
  }

  /** Show the step that begins; how far the last one had come says nothing of it. */
  step({ node }) {
    this.node = node;
    this.progress(null);
  }

  /** What a job does that has told no progress yet. */
  doing() {
    if (this.job.state !== "working") return "";
    if (this.node) return spaced(this.node);
    if (this.job.kind === "add") return "reading the file…";
    const began = this.job.run && this.job.kind !== "resume"; // the page was opened in the middle of a step
    return began ? "" : "loading models…";
  }

  /** Show how far the stage has come; null if nothing is known. */
  progress(told) {
    this.bar.hidden = ended(this.job);
    if (!told) {
      this.bar.removeAttribute("value");
      this.stage.textContent = this.doing();
      this.figures.textContent = "";
      return;
    }
    const several = told.total > 1; // of one thing it is either or
    if (several) {
      this.bar.max = told.total;
      this.bar.value = told.done;
    } else this.bar.removeAttribute("value");
    const stage = spaced(told.stage);
    this.stage.textContent = several ? `${stage}: ${count(told.done)} of ${count(told.total)}` : stage;
    this.figures.textContent = expected(told);
  }

  async stop() {
    this.stopping.disabled = true;
    try {
      await stop(this.job.id);
    } catch (error) {
      this.stopping.disabled = false;
      this.notes.append(errorPanel(error));
    }
  }
}
