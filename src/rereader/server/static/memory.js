/** The working memory after a step: what came, what went, what was rewritten; the rest is folded away. */

import { button, el, folded } from "./dom.js";
import { differs, wordDiff } from "./diff.js";
import { count, several, short } from "./format.js";
import { longText } from "./longtext.js";

const AT_ONCE = 100;
const SLOTS = {
  quote: "words of the source, kept as evidence",
  note: "written by a model, or by you",
  question: "what is still to be looked up",
  draft: "the answer as it was written so far",
  desk: "what lies open to work with",
};

function origin(record) {
  const pieces = [record.agent, `step ${record.step}`];
  return el("span.origin", { title: `record ${record.id}` }, pieces.join(", "));
}

function places(record, open) {
  return record.spans.slice(0, 3).map((span) =>
    button(`${count(span.start)}–${count(span.end)}`, () => open(span), { title: "Show in the source" }),
  );
}

function head(mark, word, slot, record, pinned, open) {
  return el(
    "div.entry-head",
    {},
    mark && el("span.sign", { "aria-hidden": "true" }, mark),
    word && el("span.word", {}, word),
    el("span.slot", { title: SLOTS[slot] ?? "" }, slot),
    pinned && el("span.pin", { title: "Pinned: nothing but you drops it" }, "pinned"),
    origin(record),
    places(record, open),
  );
}

function entry(kind, mark, word, { slot, record, pinned }, open) {
  return el(
    `div.entry.${kind}`,
    { "data-record": record.id },
    head(mark, word, slot, record, pinned, open),
    longText(record.content, 1_500, slot === "quote" ? "text.quoted" : "text"),
  );
}

function rewritten({ slot, old, new: now, diff }, open) {
  const same = !differs(diff);
  return el(
    "div.entry.superseded",
    { "data-record": now.id },
    head("~", "rewritten", slot, now, false, open),
    same ? el("p.small", {}, "The same words again.") : wordDiff(diff),
    el("p.small", {}, `in place of ${short(old.id)} (${old.agent}, step ${old.step})`),
  );
}

/** The panel of a run's working memory; what was unfolded stays so from step to step. */
export class MemoryPanel {
  /**
   * @param {RunData} data
   * @param {function({document_id: string, start: number, end: number}): void} open shows a span
   */
  constructor(data, open) {
    this.data = data;
    this.open = open;
    this.unfolded = false;
    this.title = el("h3", {}, "Working memory");
    this.body = el("div", {});
    this.element = el("section.part.memory", { "aria-label": "Working memory" }, this.title, this.body);
  }

  /** Show a step's memory. */
  show(place, { memory }) {
    const { members, pinned } = this.data.memoryAt(place);
    const held = `${several(memory.before_count, "entry", "entries")} before, ${count(memory.after_count)} after`;
    this.title.textContent = `Working memory: ${held}`;
    const fresh = new Set([...memory.added.map((one) => one.record.id), ...memory.superseded.map((one) => one.new.id)]);
    const kept = [...members].filter(([id]) => !fresh.has(id));
    this.body.replaceChildren(
      ...memory.dropped.map((one) => entry("dropped", "−", "dropped", one, this.open)),
      ...memory.superseded.map((one) => rewritten(one, this.open)),
      ...memory.added.map((one) => entry("added", "+", "added", one, this.open)),
      ...memory.pinned.map((one) => entry("pinned", "▲", "pinned here", one, this.open)),
      ...memory.unpinned.map((one) => entry("unpinned", "▽", "let go here", one, this.open)),
      this.rest(kept, pinned),
    );
    if (this.body.children.length === 1 && !kept.length) this.body.append(el("p.small", {}, "Nothing is held yet."));
  }

  rest(kept, pinned) {
    if (!kept.length) return el("span", {});
    const slots = new Map();
    for (const [, slot] of kept) slots.set(slot, (slots.get(slot) ?? 0) + 1);
    const kinds = [...slots].map(([slot, number]) => several(number, slot)).join(", ");
    const node = folded(`Unchanged: ${kinds}`, () => this.listed(kept, pinned), { open: this.unfolded });
    node.addEventListener("toggle", () => {
      this.unfolded = node.open;
    });
    return node;
  }

  listed(kept, pinned) {
    const list = el("div", {});
    const more = button("More entries", () => add());
    let shown = 0;
    const add = async () => {
      const part = kept.slice(shown, shown + AT_ONCE);
      shown += part.length;
      more.hidden = shown >= kept.length;
      const found = await this.data.recordsOf(part.map(([id]) => id));
      const slots = new Map(part);
      const entries = found.map((record) => ({ slot: slots.get(record.id), record, pinned: pinned.has(record.id) }));
      list.append(...entries.map((one) => entry("kept", "", "", one, this.open)));
    };
    add();
    return [list, more];
  }
}
