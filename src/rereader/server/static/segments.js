/** A stretch of text with marks that may overlap. */

import { appendShown } from "./text.js";

/**
 * A range of a document's characters to mark.
 * @typedef {{start: number, end: number, kind: string, title?: string}} Range
 */

function edges(slice, ranges) {
  const found = new Set([slice.start, slice.end]);
  for (const range of ranges) {
    found.add(Math.max(range.start, slice.start));
    found.add(Math.min(range.end, slice.end));
  }
  return [...found].sort((one, other) => one - other);
}

/**
 * Append a slice to a node, cut where marks begin and end; each piece bears the kinds of all marks over it.
 * @param {HTMLElement} node
 * @param {Slice} slice
 * @param {Range[]} ranges
 */
export function appendMarked(node, slice, ranges) {
  const within = ranges.filter(
    (range) => range.start < slice.end && range.end > slice.start && range.end > range.start,
  );
  within.sort((one, other) => one.start - other.start);
  const cuts = edges(slice, within);
  let active = [];
  let next = 0;
  for (let place = 0; place + 1 < cuts.length; place += 1) {
    const start = cuts[place];
    active = active.filter((range) => range.end > start);
    for (; next < within.length && within[next].start <= start; next += 1) active.push(within[next]);
    appendPiece(node, slice.cut(start, cuts[place + 1]), active);
  }
}

function appendPiece(node, text, ranges) {
  if (!ranges.length) {
    appendShown(node, text);
    return;
  }
  const mark = document.createElement("mark");
  mark.className = [...new Set(ranges.map((range) => range.kind))].join(" ");
  mark.title = ranges.map((range) => range.title).filter(Boolean).join(" · ");
  node.append(appendShown(mark, text));
}
