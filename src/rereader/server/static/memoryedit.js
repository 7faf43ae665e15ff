/** A working memory as a fork edits it: entries changed, dropped, pinned, added. */

import { button, el, fill } from "./dom.js";
import { count, several } from "./format.js";
import { said } from "./text.js";

/** How far from what is in sight entries get their fields. */
const AHEAD = "1200px";
/** Entries from which on some are looked for by their words. */
const MANY = 20;

/** A value that differs from what it was, else nothing. */
export function sameOrNone(value, before) {
  return value === before ? undefined : value;
}

/** One entry of the memory as it is edited; its fields are made when it comes into sight. */
class EntryEditor {
  constructor(held) {
    this.held = held;
    this.quoted = Boolean(held.span);
    this.element = el("div.entry.unbuilt", { "data-record": held.record });
  }

  build() {
    if (this.pin) return;
    const { held } = this;
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
    fill(this.element, head, this.quoted ? place : this.text).classList.remove("unbuilt");
  }

  says(words) {
    return (this.text?.value ?? this.held.text ?? "").toLowerCase().includes(words);
  }

  edits() {
    const { record, text, span, pin } = this.held;
    if (!this.pin) return [];
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

/** The entries of a memory as they are edited, of which thousands may be held. */
export class MemoryEditor {
  constructor(held) {
    this.entries = held.map((one) => new EntryEditor(one));
    const byElement = new Map(this.entries.map((entry) => [entry.element, entry]));
    this.seeing = new IntersectionObserver(
      (seen) => seen.filter((one) => one.isIntersecting).forEach((one) => byElement.get(one.target).build()),
      { rootMargin: AHEAD },
    );
    byElement.forEach((_entry, element) => this.seeing.observe(element));
    this.added = el("div", {});
    this.told = el("span.small", { role: "status" });
    const find = (event) => this.find(event.target.value.trim().toLowerCase());
    const field = el(
      "input",
      { type: "search", "aria-label": "Find entries that say", placeholder: "Find", oninput: find },
    );
    this.element = el(
      "div",
      {},
      held.length > MANY && el("div.bar", {}, field, this.told),
      this.entries.map(({ element }) => element),
      !held.length && el("p.small", {}, "It holds nothing at this step."),
      this.added,
      el("div.bar", {}, button("Add a note", () => this.add("note")), button("Add a quote", () => this.add("quote"))),
    );
  }

  find(words) {
    const held = this.entries.filter((entry) => entry.held);
    for (const entry of held) entry.element.hidden = !entry.says(words);
    const found = held.filter((entry) => !entry.element.hidden).length;
    this.told.textContent = words ? `${count(found)} of ${several(held.length, "entry", "entries")}` : "";
  }

  add(kind) {
    const entry = new AddedEntry(kind);
    this.entries.push(entry);
    this.added.append(entry.element);
    entry.input.focus();
  }

  edits() {
    return this.entries.flatMap((entry) => entry.edits());
  }
}
