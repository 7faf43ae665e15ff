/** Go on from a step of a run with something changed: the memory, the question, settings, models. */

import { about, fork, memory, run as readRun } from "./api.js";
import { go, runAddress } from "./address.js";
import { button, el, fill, folded } from "./dom.js";
import { errorPanel } from "./errors.js";
import { short } from "./format.js";
import { BudgetFields, ModelFields, SettingsFields } from "./settings.js";
import { said } from "./text.js";
import { watchJob } from "./watching.js";

const TOLD =
  "A new run takes over what was done up to this step, with your changes, and goes on. " +
  "What does not depend on them is not computed again.";

function sameOrNone(value, before) {
  return value === before ? undefined : value;
}

/** One entry of the memory as it is edited. */
class EntryEditor {
  constructor(held) {
    this.held = held;
    this.quoted = Boolean(held.span);
    this.text = this.quoted ? null : el("textarea", { rows: "4", "aria-label": "Text of the note" });
    if (this.text) this.text.value = held.text ?? "";
    this.span = el(
      "input",
      { type: "text", value: held.span ?? "", "aria-label": "Place of the quote: DOCUMENT:START-END" },
    );
    this.pin = el("input", { type: "checkbox", checked: Boolean(held.pin) });
    this.drop = el(
      "input",
      { type: "checkbox", onchange: () => this.element.classList.toggle("dropped", this.drop.checked) },
    );
    const head = el(
      "div.entry-head",
      {},
      el("span.slot", {}, held.slot),
      el("span.origin", { title: `record ${held.record}` }, held.agent),
      el("label", { title: "It stays whatever would drop it" }, this.pin, " pin"),
      el("label", {}, this.drop, " drop"),
    );
    const place = [said(held.text ?? "", "div", "text"), el("label.bar.place", {}, "Place", this.span)];
    const body = this.quoted ? place : this.text;
    this.element = el("div.entry", { "data-record": held.record }, head, body);
  }

  edits() {
    const { record, text, span, pin } = this.held;
    if (this.drop.checked) return [{ kind: "drop", record }];
    const found = [];
    const changedText = this.text ? sameOrNone(this.text.value, text ?? "") : undefined;
    const changedSpan = this.quoted ? sameOrNone(this.span.value, span) : undefined;
    if (changedText !== undefined) found.push({ kind: "edit", record, text: changedText });
    if (changedSpan !== undefined) found.push({ kind: "edit", record, span: changedSpan });
    if (this.pin.checked !== Boolean(pin)) found.push({ kind: this.pin.checked ? "pin" : "unpin", record });
    return found;
  }
}

/** One entry that is added: a note, or a quote by its place. */
class AddedEntry {
  constructor(kind) {
    this.kind = kind;
    this.input =
      kind === "note"
        ? el("textarea", { rows: "3", "aria-label": "Text of the new note" })
        : el(
          "input",
          { type: "text", placeholder: "START-END, or DOCUMENT:START-END", "aria-label": "Place of the new quote" },
        );
    this.pin = el("input", { type: "checkbox" });
    const remove = button("Take back", () => {
      this.element.remove();
      this.gone = true;
    });
    const head = el(
      "div.entry-head",
      {},
      el("span.sign", {}, "+"),
      el("span.slot", {}, kind),
      el("label", {}, this.pin, " pin"),
      remove,
    );
    this.element = el("div.entry.added", {}, head, this.input);
  }

  edits() {
    if (this.gone || !this.input.value.trim()) return [];
    const what = this.kind === "note" ? { text: this.input.value } : { span: this.input.value.trim() };
    return [{ kind: "add", ...what, pin: this.pin.checked }];
  }
}

class ForkView {
  constructor(root, run, step, held, told) {
    Object.assign(this, { root, run, step });
    this.entries = held.map((one) => new EntryEditor(one));
    this.addedRoom = el("div", {});
    this.question = el("textarea", { rows: "2", "aria-label": "Question", maxlength: "10000" });
    this.question.value = run.question;
    const graph = told.graphs.find((one) => one.name === run.graph);
    this.settings = new SettingsFields(graph?.settings ?? [], run.settings);
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
      this.entries.map(({ element }) => element),
      !this.entries.length && el("p.small", {}, "It holds nothing at this step."),
      this.addedRoom,
      el("div.bar", {}, button("Add a note", () => this.add("note")), button("Add a quote", () => this.add("quote"))),
      folded("Settings", () => this.settings.element),
      folded("Models", () => this.models.element),
      folded("Limits", () => this.budget.element),
      el("div.bar", {}, el("button.main", { type: "submit" }, "Start the fork")),
    );
    fill(this.root, el("h1", {}, "Fork from ", back), el("p.small", {}, TOLD), form, this.outcome, this.room);
  }

  add(kind) {
    const entry = new AddedEntry(kind);
    this.entries.push(entry);
    this.addedRoom.append(entry.element);
    entry.input.focus();
  }

  async send() {
    const body = {
      step: this.step,
      edits: this.entries.flatMap((entry) => entry.edits()),
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
  const [told, entries, server] = await Promise.all([readRun(id), memory(id, number), about()]);
  const view = new ForkView(root, told.run, number, entries.memory, server);
  return { title: `Fork from step ${number}`, close: () => view.deafen?.() };
}
