/** Two texts as one, word by word: what stayed, what went, what came. */

import { el } from "./dom.js";
import { said } from "./text.js";

const TAGS = { kept: "span", removed: "del", added: "ins" };

/** Stretches of a word-level comparison ({kind: "kept" | "removed" | "added", text}) as a block of text. */
export function wordDiff(stretches) {
  return el("div.text.diff", { dir: "auto" }, stretches.map(({ kind, text }) => said(text, TAGS[kind])));
}

/** Whether a comparison found any difference. */
export function differs(stretches) {
  return stretches.some(({ kind }) => kind !== "kept");
}
