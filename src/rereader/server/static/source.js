/** The source of a run beside it: its documents, with the evidence marked and, if wanted, what attention looked at. */

import { heat, textOf } from "./api.js";
import { documentAddress } from "./address.js";
import { el, fill } from "./dom.js";
import { heatRanges } from "./heat.js";
import { offline } from "./stored.js";
import { plain, shortened } from "./text.js";
import { Viewer } from "./viewer.js";

const NO_HEAT = "This run keeps no attention scores; ask with evidence-replay.";

/** The panel of a run's source. */
export class SourcePanel {
  /** @param {RunData} data */
  constructor(data) {
    this.data = data;
    this.viewers = new Map();
    this.quotes = [];
    this.rounds = null;
    this.room = el("div.viewer-room", {});
    this.choice = el("select", { "aria-label": "Document", onchange: () => this.choose(this.choice.value) });
    const options = data.documents.map((one) => el("option", { value: one.id }, shortened(plain(one.title), 60)));
    this.choice.append(...options);
    this.choice.hidden = data.documents.length < 2;
    this.whole = el("a.small", { hidden: offline }, "whole document");
    this.heated = el("input", { type: "checkbox", onchange: () => this.toggleHeat() });
    this.round = el("select", { "aria-label": "Round of attention", hidden: true, onchange: () => this.markAll() });
    this.heatWords = el("span.small", {});
    const attention = el(
      "label.small",
      { title: "Colours what the model's attention heads looked at" },
      this.heated,
      " attention",
    );
    this.following = el("input", { type: "checkbox" });
    const follow = el(
      "label.small",
      { title: "Scrolls to what each step quoted or read" },
      this.following,
      " follow the steps",
    );
    const bar = el(
      "div.bar",
      {},
      el("h3", {}, "Source"),
      this.choice,
      follow,
      attention,
      this.round,
      this.heatWords,
      this.whole,
    );
    this.element = el("section.source", { "aria-label": "Source text" }, bar, this.room);
    this.choose(data.documents[0].id);
  }

  /** Let go of what the panel watches. */
  close() {
    for (const viewer of this.viewers.values()) viewer.close();
  }

  choose(id) {
    const found = this.data.documents.find((one) => one.id === id);
    if (!found) return null;
    if (!this.viewers.has(id)) {
      const label = `Text of ${plain(found.title)}`;
      this.viewers.set(id, new Viewer((start, end) => textOf(id, start, end), found.length, label));
      this.viewers.get(id).mark(this.rangesOf(id));
    }
    this.choice.value = id;
    this.whole.href = documentAddress(id);
    const viewer = this.viewers.get(id);
    if (viewer.element.parentNode !== this.room) fill(this.room, viewer.element);
    return viewer;
  }

  /** Show characters of a document: scroll there and highlight them; the focus goes there too if wanted. */
  open({ document_id: id, start, end }, focus = true) {
    const viewer = this.choose(id);
    if (viewer) this.whole.href = documentAddress(id, start, end);
    return viewer?.goTo(start, end, focus) ?? Promise.resolve();
  }

  /** Show what a step worked with, if the reader wants that: what it quoted, else what it read. */
  follow({ evidence, calls }) {
    if (!this.following.checked) return;
    const read = calls.flatMap((call) => call.prompt.parts ?? []).map((part) => part.span);
    const span = [...evidence.flatMap((one) => one.record.spans), ...read].find(Boolean);
    if (span) this.open(span, false);
  }

  /** Mark the evidence: quotes with their spans. */
  markQuotes(quotes) {
    const key = quotes.map(({ document_id: id, start, end, kind }) => `${kind}${id}${start}-${end}`).join();
    if (key === this.key) return;
    this.key = key;
    this.quotes = quotes;
    this.markAll();
  }

  markAll() {
    for (const [id, viewer] of this.viewers) viewer.mark(this.rangesOf(id));
  }

  rangesOf(id) {
    const quotes = this.quotes.filter((one) => one.document_id === id);
    const round = this.heated.checked && this.rounds ? this.rounds[Number(this.round.value)] : null;
    return round ? [...quotes, ...heatRanges(round, id)] : quotes;
  }

  async toggleHeat() {
    if (this.heated.checked && !this.rounds) {
      const told = await heat(this.data.run.id).catch((error) => ({ rounds: [], error }));
      if (!told.rounds.length) {
        this.heated.checked = false;
        this.heatWords.textContent = told.error?.message ?? NO_HEAT;
        return;
      }
      this.rounds = told.rounds;
      fill(this.round, told.rounds.map((one, place) => el("option", { value: String(place) }, `round ${one.round}`)));
    }
    this.round.hidden = !this.heated.checked || this.rounds.length < 2;
    this.heatWords.textContent = this.heated.checked ? "darker: more attention" : "";
    this.markAll();
    if (this.heated.checked) this.showHottest();
  }

  showHottest() {
    const { sentences } = this.rounds[Number(this.round.value)];
    if (sentences.length) this.open(sentences[0]);
  }
}
