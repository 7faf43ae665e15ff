/** One document: its text, with a search, and any characters of it by address. */

import { documentOf, search, textOf } from "./api.js";
import { address, documentAddress, jump, readRange } from "./address.js";
import { announce, button, el, fill } from "./dom.js";
import { errorPanel } from "./errors.js";
import { count, several } from "./format.js";
import { plain, said, shortened } from "./text.js";
import { Viewer } from "./viewer.js";

const MOST_FOUND = 50;
const LONGEST = 240;

class DocumentView {
  constructor(root, told) {
    this.told = told;
    this.viewer = new Viewer((start, end) => textOf(told.id, start, end), told.length, `Text of ${plain(told.title)}`);
    this.found = el("div.found", { "aria-live": "polite" });
    const facts = `${count(told.length)} characters · read by ${several(told.runs, "run")}`;
    fill(
      root,
      said(told.title, "h1"),
      el(
        "p.small",
        {},
        said(told.source),
        ` · ${facts} · `,
        el("a", { href: address("/ask", { document: told.id }) }, "ask it something"),
      ),
      el("div.bar", {}, this.searchForm(), this.jumpForm()),
      el("div.panes.two", {}, el("div.pane", {}, this.found), el("div.pane.beside", {}, this.viewer.element)),
    );
    this.hint();
  }

  hint() {
    fill(
      this.found,
      el(
        "p.small",
        {},
        this.told.length ? "Search for words, or go to characters by number." : "The document is empty.",
      ),
    );
  }

  searchForm() {
    const input = el(
      "input",
      { type: "search", placeholder: "words", "aria-label": "Search the document", required: true, maxlength: "1000" },
    );
    const submit = (event) => {
      event.preventDefault();
      this.search(input.value);
    };
    return el("form.bar", { role: "search", onsubmit: submit }, input, el("button", { type: "submit" }, "Search"));
  }

  jumpForm() {
    const input = el(
      "input.short",
      { type: "text", inputmode: "numeric", placeholder: "12,000", "aria-label": "Go to character" },
    );
    const submit = (event) => {
      event.preventDefault();
      const offset = Math.min(Number(input.value.replace(/[^\d]/g, "") || 0), Math.max(0, this.told.length - 1));
      this.open(offset, offset + 1);
    };
    return el("form.bar", { onsubmit: submit }, input, el("button", { type: "submit" }, "Go"));
  }

  async search(words) {
    try {
      const hits = await search(this.told.id, words, MOST_FOUND);
      const told = hits.length === MOST_FOUND ? `The first ${MOST_FOUND} places` : several(hits.length, "place");
      fill(
        this.found,
        el("p.small", {}, hits.length ? told : "No place says this."),
        el("ol.hits", {}, hits.map((hit) => this.hit(hit))),
      );
      this.viewer.mark(hits.map(({ start, end }) => ({ start, end, kind: "hit" })));
    } catch (error) {
      fill(this.found, errorPanel(error));
    }
  }

  hit({ start, end, quote, line, page, section }) {
    const place = [page && `page ${page}`, section, line && `line ${count(line)}`, `${count(start)}–${count(end)}`];
    const go = button("", () => this.open(start, end), { class: "hit" });
    go.append(
      el("span.small", {}, said(place.filter(Boolean).join(" · "))),
      said(shortened(quote, LONGEST), "span", "text"),
    );
    return el("li", {}, go);
  }

  open(start, end) {
    jump(documentAddress(this.told.id, start, end));
    return this.show(start, end);
  }

  async show(start, end) {
    if (!this.told.length) return;
    await this.viewer.goTo(start, end);
    announce(`Characters ${count(start)} to ${count(end)}`);
  }

  update({ query }) {
    const range = readRange(query.get("at"));
    if (range) this.show(range.start, range.end);
  }
}

/** Show a document. */
export async function documentView(root, where) {
  const told = await documentOf(where.id);
  const view = new DocumentView(root, told);
  view.update(where);
  return { title: told.title, close: () => view.viewer.close(), update: (next) => view.update(next) };
}
