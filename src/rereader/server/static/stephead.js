/** A step in figures: its node, what it cost, and what the run had cost up to it. */

import { el, facts, folded } from "./dom.js";
import { count, duration, moment, several, spaced } from "./format.js";
import { longText } from "./longtext.js";

/** Parts of a step's detail that other panels show, or that only the estimator reads. */
const ELSEWHERE = new Set(["decisions", "log_odds", "scores", "work"]);

function calls({ calls: made, cached_calls: cached }) {
  if (!made) return "none";
  return cached ? `${count(made)} (${count(cached)} from the cache)` : count(made);
}

/** The figures of a step that the outline holds; they are there before anything is read. */
export function stepFigures(data, place) {
  const step = data.steps[place];
  const sofar = data.spent[place];
  const gate = step.considered ? `${count(step.accepted)} of ${several(step.considered, "chunk")} let in` : null;
  return facts([
    ["node", el("b", {}, step.node)],
    ["took", duration(step.seconds)],
    ["model calls", calls(step)],
    ["tokens", count(step.tokens)],
    ["gate", gate],
    ["quotes added", step.quotes ? count(step.quotes) : null],
    ["so far", `${several(sofar.calls, "call")}, ${count(sofar.tokens)} tokens, ${duration(sofar.seconds)}`],
    ["began", step.started_at ? moment(step.started_at) : null],
  ]);
}

/** What the node wrote down of its step, if anything. */
export function stepDetail(detail) {
  const held = Object.entries(detail).filter(
    ([name, value]) => !ELSEWHERE.has(name) && !(Array.isArray(value) && !value.length),
  );
  if (!held.length) return null;
  const rows = () => facts(held.map(([name, value]) => [spaced(name), longText(JSON.stringify(value), 600, "detail")]));
  return folded(`What the node noted: ${held.map(([name]) => spaced(name)).join(", ")}`, rows);
}
