/** The model calls of a step: each prompt as it was, and the raw reply. */

import { button, el, folded } from "./dom.js";
import { count, several, spaced } from "./format.js";
import { longText } from "./longtext.js";

const MOST = 2_000;

function part(piece, open) {
  if (piece.blocks?.length) {
    return el("p.piece.blocks", {}, `[keys and values of ${several(piece.blocks.length, "compressed text")}]`);
  }
  if (piece.trusted) return longText(piece.text, MOST, "piece");
  const from = piece.slot ? `Text from outside: ${spaced(piece.slot)}` : "Text from outside";
  const link = piece.span && button("in the source", () => open(piece.span));
  return el("div.piece.outside", {}, el("div.tag", {}, from, " ", link), longText(piece.text, MOST));
}

function prompt(told, open) {
  if (told.parts === null) return el("p.bad", {}, `The prompt cannot be shown. ${told.reason}`);
  const turns = [];
  for (const piece of told.parts) {
    if (turns.at(-1)?.role !== piece.role) turns.push({ role: piece.role, pieces: [] });
    turns.at(-1).pieces.push(part(piece, open));
  }
  return turns.map(({ role, pieces }) => el("div.turn", {}, el("h5", {}, role), pieces));
}

function oneCall(call, number, open) {
  const cached = call.cached ? " · from the cache" : "";
  const tokens = `${count(call.prompt_tokens)} + ${count(call.completion_tokens)} tokens${cached}`;
  const head = [el("b", {}, `${number}. ${call.role} ${call.method}`), ` · ${call.template} · ${tokens}`];
  return folded(head, () => [
    el("h4", {}, "Prompt"),
    prompt(call.prompt, open),
    el("h4", {}, "Reply"),
    call.reply ? longText(call.reply, MOST, "reply") : el("p.small", {}, "An empty reply."),
  ], { open: number === 1, class: "call" });
}

const AT_ONCE = 20;

/**
 * The calls of a step; the first is open, many come in portions.
 * @param {object[]} calls
 * @param {function({document_id: string, start: number, end: number}): void} open shows a span
 */
export function callsPart(calls, open) {
  const list = el("div", {});
  let shown = 0;
  const more = button("More calls", () => add());
  function add() {
    for (const call of calls.slice(shown, shown + AT_ONCE)) list.append(oneCall(call, (shown += 1), open));
    more.hidden = shown >= calls.length;
  }
  add();
  return el(
    "section.part",
    { "aria-label": "Model calls" },
    el("h3", {}, several(calls.length, "model call")),
    list,
    more,
  );
}
