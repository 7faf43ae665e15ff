/** What went wrong, and how to mend it. */

import { button, el } from "./dom.js";
import { said } from "./text.js";

/**
 * A panel that tells an error.
 * @param {{message: string, hint?: string}} error
 * @param {function(): void} [again] tries once more
 */
export function errorPanel(error, again = null) {
  return el(
    "div.error",
    { role: "alert" },
    el("p.bad", {}, said(error.message)),
    error.hint && el("p", {}, said(error.hint)),
    again && button("Try again", again),
  );
}

/** Fill a node with what a promise brings; meanwhile it says so, and errors are told in its place. */
export async function awaiting(node, promise, show, waiting = "Loading…") {
  if (waiting) node.replaceChildren(el("p.small", {}, waiting));
  try {
    const value = await promise;
    node.replaceChildren(...[show(value)].flat());
  } catch (error) {
    if (error.name !== "AbortError") node.replaceChildren(errorPanel(error));
  }
}
