/** What the gate of a step made of each chunk. */

import { button, el } from "./dom.js";
import { count, score } from "./format.js";
import { Table } from "./table.js";
import { said, shortened } from "./text.js";

function columns(decisions, titles, open) {
  const place = ({ span }) =>
    span ? button(`${count(span.start)}–${count(span.end)}`, () => open(span), { title: "Show in the source" }) : "";
  const title = (row) => titles.get(row.document_id) ?? "";
  const figure = (title, name, hint) => ({
    title,
    hint,
    figure: true,
    value: (row) => row[name],
    show: (row) => score(row[name]),
  });
  const all = [
    {
      title: "Gate",
      value: (row) => (row.accepted ? 0 : 1),
      show: (row) => (row.accepted ? "✓\u00a0let\u00a0in" : "✕\u00a0out"),
    },
    titles.size > 1 && { title: "Document", value: title, show: (row) => said(shortened(title(row), 40)) },
    { title: "Chunk", figure: true, value: (row) => -row.chunk, show: (row) => count(row.chunk) },
    { title: "Characters", value: (row) => row.span?.start ?? null, show: place },
    figure("Recalled", "recalled", "Score of the search that found the chunk"),
    figure("Judged", "judged", "The gate's own score"),
    figure("Log-odds", "log_odds", "What a trained gate's probability was made of"),
  ];
  return all.filter((column) => column && decisions.some((row) => ![null, undefined].includes(column.value(row))));
}

/**
 * The decisions as a table.
 * @param {object[]} decisions
 * @param {Map<string, string>} titles of documents
 * @param {function({document_id: string, start: number, end: number}): void} open shows a span
 */
export function decisionsPart(decisions, titles, open) {
  const accepted = decisions.filter((row) => row.accepted).length;
  const heading = `Gate: ${count(accepted)} of ${count(decisions.length)} chunks let in`;
  return el(
    "section.part",
    { "aria-label": "Decisions of the gate" },
    el("h3", {}, heading),
    new Table(heading, columns(decisions, titles, open), decisions).element,
  );
}
