/** Two runs side by side: what differs, where they part, and both step by step. */

import { difference } from "./api.js";
import { address, documentAddress, go, here, replace, runAddress } from "./address.js";
import { button, el, facts, fill, folded } from "./dom.js";
import { differs, wordDiff } from "./diff.js";
import { count, several, short, spaced, stateWords } from "./format.js";
import { RunData } from "./rundata.js";
import { said } from "./text.js";
import { Track } from "./track.js";

/** Settings that are told at once; two graphs differ in many. */
const MOST_SETTINGS = 8;
/** Quotes that are listed at once. */
const FEW_QUOTES = 6;
const PARTED = {
  end: "one of them ends",
  node: "they come to different nodes",
  prompt: "a model is asked something else",
  reply: "a model replies something else",
  detail: "they decide something else",
  memory: "they write something else into the memory",
};

function value(one) {
  return one === null || one === undefined ? "–" : typeof one === "string" ? said(one) : JSON.stringify(one);
}

function differing(title, rows) {
  return rows.map(({ name, one, other }) => [`${title} ${spaced(name)}`, [value(one), " → ", value(other)]]);
}

function quotesPart(title, quotes) {
  if (!quotes.length) return null;
  const item = (quote) =>
    el(
      "li",
      {},
      el(
        "a",
        { href: documentAddress(quote.document_id, quote.start, quote.end) },
        `${count(quote.start)}–${count(quote.end)}`,
      ),
      " ",
      said(quote.quote, "span", "text quoted"),
    );
  return el("div", {}, el("h3", {}, `${title}: ${count(quotes.length)}`), el("ul", {}, quotes.map(item)));
}

class CompareView {
  constructor(root, found, runs, query) {
    Object.assign(this, { found, runs });
    this.linked = el("input", { type: "checkbox", checked: query.get("linked") === "1", onchange: () => this.link() });
    this.tracks = runs.map(
      (data, side) => new Track(data, { open: (span) => this.open(span), moved: (place) => this.moved(side, place) }),
    );
    this.press = (event) => this.tracks[this.active].slider.press(event);
    this.active = 0;
    fill(
      root,
      el("h1", {}, "Two runs compared"),
      this.summary(),
      this.quotes(),
      this.bar(),
      el("div.panes.two.equal", {}, runs.map((_, side) => this.side(side))),
    );
    document.addEventListener("keydown", this.press);
    this.update({ query });
    for (const track of this.tracks) if (track.data.steps.length) track.lookAhead();
  }

  summary() {
    const { found } = this;
    const same = !differs(found.answer);
    const [one, other] = this.runs.map((data) => data.run);
    const settings = differing("setting", found.settings);
    const many = settings.length > MOST_SETTINGS;
    const rows = [
      ["graph", one.graph === other.graph ? null : `${one.graph} → ${other.graph}`],
      ["question", differs(found.question) ? wordDiff(found.question) : null],
      ...(many ? [] : settings),
      ...differing("model of the", found.models),
      ["they part", this.parting()],
      ["answers", same ? "the same, to the letter" : wordDiff(found.answer)],
    ];
    return el(
      "section.note",
      { "aria-label": "What differs" },
      facts(rows),
      many && folded(`${several(settings.length, "setting")} that differ`, () => facts(settings)),
    );
  }

  parting() {
    const { parting } = this.found;
    if (!parting) return "nowhere: every step is the same";
    const nodes = [...new Set(parting.nodes.filter(Boolean))].join(" / ");
    const named = parting.named?.length ? ` (${parting.named.map(spaced).join(", ")})` : "";
    return [
      button(`at step ${parting.number}`, () => this.bothTo(parting.number)),
      ` ${nodes}: ${PARTED[parting.what]}${named}`,
    ];
  }

  quotes() {
    const { both, only_one: one, only_other: other } = this.found;
    if (!both.length && !one.length && !other.length) return null;
    const parts = () => [
      quotesPart("Of both", both),
      quotesPart("Only of the first", one),
      quotesPart("Only of the second", other),
    ];
    const [common, first, second] = [both, one, other].map((quotes) => count(quotes.length));
    const counts = `Quotes: ${common} of both, ${first} only of the first, ${second} only of the second`;
    const few = both.length + one.length + other.length <= FEW_QUOTES;
    return folded(counts, () => el("div.panes.three", {}, parts()), { open: few });
  }

  bar() {
    return el(
      "p.bar",
      {},
      el(
        "label",
        { title: "Moving one slider moves the other to the same step" },
        this.linked,
        " move both sliders together",
      ),
    );
  }

  side(side) {
    const { run, steps } = this.runs[side];
    const track = this.tracks[side];
    const node = el(
      "section.pane.side",
      { "aria-label": side ? "The second run" : "The first run", "data-side": String(side) },
      el(
        "h2",
        {},
        el("a", { href: runAddress(run.id) }, short(run.id)),
        el("span.small", {}, ` ${run.graph} · ${stateWords(run.status)} · ${several(steps.length, "step")}`),
      ),
      said(run.answer?.answer ?? "No answer.", "div", "answer"),
      track.bar,
      track.element,
    );
    for (const kind of ["focusin", "pointerdown"]) node.addEventListener(kind, () => (this.active = side));
    return node;
  }

  moved(side, place) {
    if (this.linked.checked) this.follow(side, place);
    this.remember();
  }

  follow(side, place) {
    const { number } = this.runs[side].steps[place];
    const other = this.tracks[1 - side];
    other.goTo(other.data.placeOf(number));
  }

  link() {
    if (this.linked.checked) this.follow(this.active, this.tracks[this.active].place);
    this.remember();
  }

  bothTo(number) {
    for (const track of this.tracks) track.goTo(track.data.placeOf(number));
    this.remember();
  }

  remember() {
    const [one, other] = this.tracks.map((track) => track.data.steps[track.place]?.number);
    replace(address(here().path, { a: one, b: other, linked: this.linked.checked ? 1 : null }));
  }

  open(span) {
    go(documentAddress(span.document_id, span.start, span.end));
  }

  update({ query }) {
    const start = this.found.parting?.number ?? null;
    this.tracks.forEach((track, side) => {
      const named = query.get(side ? "b" : "a");
      track.goTo(track.data.placeOf(named === null ? start : Number(named)));
    });
  }
}

/** Show two runs side by side. */
export async function compareView(root, { id, other, query }) {
  const [found, ...runs] = await Promise.all([difference(id, other), RunData.read(id), RunData.read(other)]);
  const view = new CompareView(root, found, runs, query);
  return {
    title: "Two runs compared",
    close: () => document.removeEventListener("keydown", view.press),
    update: (next) => view.update(next),
  };
}
