/** What a question is expected to cost, in words. */

import { el, facts, folded } from "./dom.js";
import { count, duration, spaced } from "./format.js";

const SOURCES = {
  runs: "by past runs on this machine",
  measured: "by the measured speed of the models",
  guess: "a guess: nothing was measured yet",
};

function stages(found) {
  const heads = ["Stage", "Calls", "Tokens in", "Tokens out", "Time"];
  const rows = found.stages.map((one) =>
    el(
      "tr",
      {},
      el("td", {}, spaced(one.stage)),
      [one.calls, one.tokens_in, one.tokens_out].map((value) => el("td.figure", {}, count(value))),
      el("td.figure", {}, duration(one.seconds)),
    ),
  );
  const head = el("tr", {}, heads.map((title, place) => el(place ? "th.figure" : "th", { scope: "col" }, title)));
  return el("div.wide", {}, el("table", {}, el("thead", {}, head), el("tbody", {}, rows)));
}

/** An estimate as a card. */
export function estimateCard(found) {
  return el(
    "div.note",
    {},
    facts([
      ["time", el("b", {}, `about ${duration(found.seconds)}`)],
      ["model calls", count(found.calls)],
      ["tokens", `${count(found.tokens_in)} in, ${count(found.tokens_out)} out`],
      ["reckoned", SOURCES[found.source] ?? spaced(found.source)],
    ]),
    found.stages.length > 0 && folded("By stage", () => stages(found)),
  );
}
