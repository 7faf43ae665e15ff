/** Go on from a step of a run with something changed: the memory, the question, settings, models. */

import { about, fork, memory, outline, run as readRun } from "./api.js";
import { go, runAddress } from "./address.js";
import { el, fill, folded } from "./dom.js";
import { errorPanel } from "./errors.js";
import { short } from "./format.js";
import { MemoryEditor, sameOrNone } from "./memoryedit.js";
import { BudgetFields, ModelFields, SettingsFields } from "./settings.js";
import { watchJob } from "./watching.js";

const TOLD =
  "A new run takes over what was done up to this step, with your changes, and goes on. " +
  "What does not depend on them is not computed again.";

class ForkView {
  constructor(root, run, step, { held, told, taken }) {
    Object.assign(this, { root, run, step });
    this.memory = new MemoryEditor(held);
    this.question = el("textarea", { rows: "2", "aria-label": "Question", maxlength: "10000" });
    this.question.value = run.question;
    const graph = told.graphs.find((one) => one.name === run.graph);
    this.settings = new SettingsFields(graph?.settings ?? [], run.settings, taken);
    this.models = new ModelFields(told, run.models);
    this.budget = new BudgetFields();
    this.outcome = el("div", { "aria-live": "polite" });
    this.room = el("div", {});
    this.draw();
  }

  draw() {
    const submit = (event) => {
      event.preventDefault();
      this.send();
    };
    const back = el("a", { href: runAddress(this.run.id, this.step) }, `step ${this.step} of ${short(this.run.id)}`);
    const form = el(
      "form.ask",
      { onsubmit: submit },
      el("label.field", {}, el("span.field-name", {}, "Question"), this.question),
      el("h2", {}, "Working memory"),
      this.memory.element,
      folded("Settings", () => this.settings.element),
      folded("Models", () => this.models.element),
      folded("Limits", () => this.budget.element),
      el("div.bar", {}, el("button.main", { type: "submit" }, "Start the fork")),
    );
    fill(this.root, el("h1", {}, "Fork from ", back), el("p.small", {}, TOLD), form, this.outcome, this.room);
  }

  close() {
    this.deafen?.();
    this.memory.seeing.disconnect();
  }

  async send() {
    const body = {
      step: this.step,
      edits: this.memory.edits(),
      question: sameOrNone(this.question.value, this.run.question),
      settings: this.settings.changed(),
      models: this.models.changed(),
      budget: this.budget.changed(),
    };
    try {
      const { job } = await fork(this.run.id, body);
      fill(this.outcome);
      this.deafen?.();
      this.deafen = await watchJob(this.room, job, ({ run }) => go(`/compare/${this.run.id}/${run}`));
      this.room.scrollIntoView({ block: "nearest" });
    } catch (error) {
      fill(this.outcome, errorPanel(error));
    }
  }
}

/** Show the form for a fork from a step. */
export async function forkView(root, { id, step }) {
  const number = Number(step);
  const [told, entries, server, all] = await Promise.all([readRun(id), memory(id, number), about(), outline(id, 0)]);
  const taken = all.steps.filter((one) => one.number <= number);
  const view = new ForkView(root, told.run, number, { held: entries.memory, told: server, taken });
  return { title: `Fork from step ${number}`, close: () => view.close() };
}
