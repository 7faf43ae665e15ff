/** Attention scores as marks of the source. */

import { score } from "./format.js";

const SHADES = 4;

function shade(value, top) {
  return Math.max(1, Math.min(SHADES, Math.ceil((Math.max(0, value) / top) * SHADES)));
}

/**
 * Marks for a round of attention: each sentence, and in it each token that got a share of its own.
 * @param {{sentences: object[]}} round
 * @param {string} document id of the document
 */
export function heatRanges(round, document) {
  const top = Math.max(1e-12, ...round.sentences.map((one) => one.score));
  return round.sentences
    .filter((one) => one.document_id === document)
    .flatMap((one) => [sentenceRange(one, top), ...tokenRanges(one)]);
}

function sentenceRange({ start, end, score: value, taken }, top) {
  const title = `attention ${score(value)}${taken ? ", became evidence" : ""}`;
  return { start, end, kind: `heat-${shade(value, top)}${taken ? " taken" : ""}`, title };
}

function tokenRanges({ start, tokens }) {
  const top = Math.max(1e-12, ...tokens.map(([, , value]) => value));
  return tokens
    .filter(([, , value]) => value > top / SHADES)
    .map(([first, last, value]) => ({ start: start + first, end: start + last, kind: `token-${shade(value, top)}` }));
}
