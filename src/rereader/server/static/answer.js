/** The answer of a run: its text with claims, and the quotes that they rest on. */

import { blame } from "./api.js";
import { button, el, facts, fill, folded } from "./dom.js";
import { awaiting } from "./errors.js";
import { quoteNumbers, quoteOrder } from "./evidence.js";
import { count, several, stateHint, stateWords } from "./format.js";
import { appendShown, said, Slice } from "./text.js";

const FOUND = "What it has found is kept: its steps show the memory and the quotes, and Resume goes on from there.";

/** A quote is shown by its place in the evidence, and called by its number. */
function marker(number, place, show) {
  return button(
    String(number),
    () => show(place),
    { class: "cite", "aria-label": `quote ${number}`, title: "Show the quote in the source" },
  );
}

function claimPart(text, claim, numbers, show) {
  if (!claim.evidence.length) {
    const bare = el("span.claim.bare", { title: "No quote carries this" });
    return [appendShown(bare, text)];
  }
  const title = "Show its quote in the source";
  const link = el("span.claim", { role: "button", tabindex: "0", title, onclick: () => show(claim.evidence[0]) });
  link.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    show(claim.evidence[0]);
  });
  const markers = claim.evidence.map((place) => marker(numbers.get(place), place, show));
  return [appendShown(link, text), el("sup", {}, markers)];
}

function answerText(answer, show) {
  const slice = new Slice(answer.answer, 0);
  const numbers = quoteNumbers(answer);
  const block = el("div.answer", { dir: "auto" });
  let from = 0;
  for (const claim of [...answer.claims].sort((one, other) => one.start - other.start)) {
    if (claim.start < from) continue;
    appendShown(block, slice.cut(from, claim.start));
    block.append(...claimPart(slice.cut(claim.start, claim.end), claim, numbers, show));
    from = claim.end;
  }
  appendShown(block, slice.cut(from, slice.end));
  return block;
}

function place(quote) {
  const labels = [
    quote.page && `page ${quote.page}`,
    quote.section,
    quote.row && `row ${quote.row}`,
    quote.time,
    quote.line && `line ${count(quote.line)}`,
    `characters ${count(quote.start)}–${count(quote.end)}`,
  ];
  return labels.filter(Boolean).join(" · ");
}

function quoteNote(quote, number, open) {
  const checked = quote.verified
    ? el("span.good", { title: "These characters stand in the source just so" }, "✓ verified")
    : el("span.bad", { title: "These words were not found in the source" }, "✕ not found");
  return el(
    "li.note",
    { id: `quote-${number}` },
    el("p.place", {}, el("b", {}, `${number} `), said(quote.document), " · ", said(place(quote)), " ", checked),
    el("blockquote", { dir: "auto" }, said(quote.quote, "span", "quoted")),
    el("p", {}, button("Show in the source", open)),
  );
}

/** The panel of the answer. */
export class AnswerPanel {
  /**
   * @param {RunData} data
   * @param {function(number): void} show shows a quote, by its place in the evidence, in the source
   * @param {function(number): void} goToStep
   */
  constructor(data, show, goToStep) {
    Object.assign(this, { data, show, goToStep });
    this.element = el("section.answer-part", { "aria-label": "Answer" });
    this.draw();
  }

  /** Show how the run stands. */
  draw() {
    const { run, steps } = this.data;
    const failed = run.failure && [el("p.bad", {}, "The run failed."), said(run.failure, "p")];
    if (!run.answer) {
      const found = steps.length > 0 && el("p.small", {}, FOUND);
      fill(this.element, failed ? [...failed, found] : el("p.small", {}, "There is no answer yet."));
      return;
    }
    const { answer } = run;
    const hint = stateHint(answer.status);
    fill(
      this.element,
      failed,
      answerText(answer, this.show),
      answer.status !== "answered" && el("p.small", {}, `${stateWords(answer.status)}. ${hint ?? ""}`),
      answer.warnings.map((text) => said(text, "p", "warning")),
      answer.evidence.length > 0 && this.quotes(answer),
      this.restsOn(),
    );
  }

  /** The quotes that claims rest on first; the others are folded away. */
  quotes(answer) {
    const { cited, others } = quoteOrder(answer);
    const note = (place, number) => quoteNote(answer.evidence[place], number, () => this.show(place));
    const notes = (places, first) => el("ol.quotes", {}, places.map((place, index) => note(place, first + index)));
    const told = cited.length
      ? `${several(others.length, "other quote")} that it was written from`
      : `Nearest passages: ${several(others.length, "quote")} that no claim rests on`;
    return [
      cited.length > 0 && [el("h3", {}, "Quotes"), notes(cited, 1)],
      others.length > 0 && folded(told, () => notes(others, cited.length + 1)),
    ];
  }

  restsOn() {
    return folded("What each claim rests on", () => {
      const room = el("div", {});
      awaiting(room, blame(this.data.run.id), (found) => found.map((one) => this.traced(one)), "Tracing…");
      return room;
    });
  }

  step(number, node) {
    return button(`step ${number} (${node})`, () => this.goToStep(number));
  }

  traced({ claim, quotes, carried, loose, exact }) {
    const from = quotes.map(([evidence, origin, written]) => [
      `quote at ${count(evidence.start)}–${count(evidence.end)}`,
      [
        written ? "taken up at " : "found for the answer afterwards, at ",
        this.step(origin.step, origin.node),
        origin.lost !== null && [", dropped at ", button(`step ${origin.lost}`, () => this.goToStep(origin.lost))],
      ],
    ]);
    const prose = carried.map(
      ({ words, origin }) => [said(words.join(", ")), ["since ", this.step(origin.step, origin.node)]],
    );
    return el(
      "div.note",
      {},
      said(claim.text, "p"),
      facts([...from, ...prose]),
      loose.length > 0 && el("p.small", {}, "In no memory: ", said(loose.join(", "))),
      !exact && el(
        "p.small",
        { title: "Not all of it was written from quotes; its words were looked for in the memories." },
        "Approximate: traced word by word.",
      ),
    );
  }
}
