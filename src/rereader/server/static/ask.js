/** Ask a question: of which documents, by which graph, with which limits; then watch it being answered. */

import { about, ask, documents, estimate, run as readRun } from "./api.js";
import { go, replace, runAddress } from "./address.js";
import { button, el, fill, folded } from "./dom.js";
import { awaiting, errorPanel } from "./errors.js";
import { estimateCard } from "./estimating.js";
import { count, short } from "./format.js";
import { BudgetFields, ModelFields, SettingsFields } from "./settings.js";
import { plain, said, shortened } from "./text.js";
import { watchJob } from "./watching.js";

class AskView {
  constructor(root, told, found, parent, chosen) {
    Object.assign(this, { root, told, found, parent });
    this.question = el(
      "textarea",
      {
        rows: "3",
        required: true,
        maxlength: "10000",
        "aria-label": "Question",
        placeholder: "What do you want to know?",
      },
    );
    this.boxes = found.map((one) => this.box(one, chosen.includes(one.id)));
    const graph = parent?.graph ?? told.default_graph;
    const options = told.graphs.map((one) => el("option", { value: one.name, selected: one.name === graph }, one.name));
    this.graph = el("select", { "aria-label": "Graph", onchange: () => this.drawGraph() }, options);
    this.graphRoom = el("div", {});
    this.settingsRoom = el("div", {});
    this.models = new ModelFields(told);
    this.budget = new BudgetFields();
    this.outcome = el("div", { "aria-live": "polite" });
    this.room = el("div", {});
    this.draw();
    this.drawGraph();
  }

  box(one, checked) {
    const input = el("input", { type: "checkbox", value: one.id, checked });
    const label = el(
      "label.choice",
      {},
      input,
      " ",
      said(shortened(one.title, 90)),
      el("span.small", {}, ` ${count(one.length)} characters`),
    );
    return { input, label, title: plain(one.title).toLowerCase() };
  }

  draw() {
    const submit = (event) => {
      event.preventDefault();
      this.send();
    };
    const form = el(
      "form.ask",
      { onsubmit: submit },
      this.parent && el(
        "p.small",
        {},
        "Follow-up of ",
        el("a", { href: runAddress(this.parent.id) }, short(this.parent.id)),
        ": ",
        said(shortened(this.parent.question, 120)),
      ),
      this.question,
      this.documentsPart(),
      el(
        "label.field",
        {},
        el("span.field-name", { title: "How the documents are read: which agents work in which order" }, "Graph"),
        this.graph,
      ),
      this.graphRoom,
      folded("Settings", () => this.settingsRoom),
      folded("Models", () => this.models.element),
      folded("Limits", () => this.budget.element),
      el(
        "div.bar",
        {},
        el("button.main", { type: "submit" }, "Ask"),
        button("Estimate the cost", () => this.estimate()),
      ),
    );
    fill(this.root, el("h1", {}, "Ask"), form, this.outcome, this.room);
  }

  documentsPart() {
    if (!this.found.length) {
      return el("p.empty", {}, "There are no documents yet. ", el("a", { href: "/documents" }, "Add one"), " first.");
    }
    const filter = el("input", { type: "search", placeholder: "Filter", "aria-label": "Filter the documents" });
    filter.hidden = this.found.length < 8;
    filter.addEventListener("input", () => {
      for (const { label, title } of this.boxes) label.hidden = !title.includes(filter.value.toLowerCase());
    });
    return el(
      "fieldset",
      {},
      el("legend", {}, "Documents ", el("span.small", {}, "(none chosen: all of them)")),
      filter,
      el("div.choices.scrolls", {}, this.boxes.map(({ label }) => label)),
    );
  }

  drawGraph() {
    const graph = this.told.graphs.find((one) => one.name === this.graph.value);
    const values = this.parent?.graph === graph.name ? this.parent.settings : {};
    this.settings = new SettingsFields(graph.settings, values);
    fill(this.settingsRoom, this.settings.element);
    fill(
      this.graphRoom,
      el("p", {}, graph.summary),
      el(
        "p.small",
        { title: "The published system that it follows, and how closely" },
        `After ${graph.title}: ${graph.honesty}`,
      ),
    );
  }

  wanted() {
    return {
      question: this.question.value,
      document_ids: this.boxes.filter(({ input }) => input.checked).map(({ input }) => input.value),
      graph: this.graph.value,
      settings: {
        ...(this.parent?.graph === this.graph.value ? this.parent.settings : {}),
        ...this.settings.changed(),
      },
    };
  }

  estimate() {
    if (!this.question.reportValidity()) return;
    awaiting(this.outcome, estimate({ ...this.wanted(), models: this.models.changed() }), estimateCard, "Reckoning…");
  }

  async send() {
    const body = {
      ...this.wanted(),
      models: this.models.changed(),
      budget: this.budget.changed(),
      parent: this.parent?.id,
    };
    try {
      const { job } = await ask(body);
      replace(`/ask?job=${job}`);
      fill(this.outcome);
      await this.watch(job);
    } catch (error) {
      fill(this.outcome, errorPanel(error));
    }
  }

  async watch(job) {
    this.deafen?.();
    this.deafen = await watchJob(this.room, job, ({ run }) => go(runAddress(run)));
    this.room.scrollIntoView({ block: "nearest" });
  }

  close() {
    this.deafen?.();
  }
}

/** Show the form, or the job that was started with it. */
export async function askView(root, { query }) {
  const parentId = query.get("parent");
  const [told, found, parent] = await Promise.all([about(), documents(), parentId ? readRun(parentId) : null]);
  const chosen = parent?.run.document_ids ?? query.getAll("document");
  const view = new AskView(root, told, found, parent?.run ?? null, chosen);
  const job = query.get("job");
  if (job) await view.watch(job).catch((error) => fill(view.outcome, errorPanel(error)));
  else view.question.focus();
  return { title: "Ask", close: () => view.close() };
}
