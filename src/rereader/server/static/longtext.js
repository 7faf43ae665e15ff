/** Texts that may be very long: the beginning, and the rest when it is asked for. */

import { button, el } from "./dom.js";
import { appendShown, characters, Slice } from "./text.js";
import { count } from "./format.js";

/**
 * A block of text of others.
 * @param {string} text
 * @param {number} most characters that are shown at first
 * @param {string} kind a class
 */
export function longText(text, most = 1_500, kind = "text") {
  const block = el(`div.${kind}`, { dir: "auto" });
  if (text.length <= most) return appendShown(block, text);
  const length = characters(text);
  if (length <= most) return appendShown(block, text);
  appendShown(block, new Slice(text, 0).cut(0, most));
  const rest = button(`… all ${count(length)} characters`, () => {
    block.replaceChildren();
    appendShown(block, text);
    block.tabIndex = -1;
    block.focus();
  });
  block.append(rest);
  return block;
}
