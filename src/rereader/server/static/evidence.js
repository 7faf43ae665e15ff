/** The quotes of an answer, and which characters of the source are evidence at a step. */

/**
 * Places in the evidence in the order of the quotes' numbers, which are those of the command line: the quotes that
 * claims rest on as these name them, then the others, best first.
 * @returns {{cited: number[], others: number[]}}
 */
export function quoteOrder({ claims, evidence }) {
  const cited = [...new Set(claims.flatMap((claim) => claim.evidence))];
  const used = new Set(cited);
  const others = [...evidence.keys()].filter((place) => !used.has(place));
  others.sort((one, other) => (evidence[other].score ?? 0) - (evidence[one].score ?? 0));
  return { cited, others };
}

/** The number of each quote by its place in the evidence. */
export function quoteNumbers(answer) {
  const { cited, others } = quoteOrder(answer);
  return new Map([...cited, ...others].map((place, index) => [place, index + 1]));
}

/**
 * Marks of the quotes that the working memory holds after a step, as far as their records are known.
 * @param {RunData} data
 * @param {number} place
 * @returns {{ranges: object[], missing: string[]}} marks, and ids of records that are not known yet
 */
export function evidenceAt(data, place) {
  const { answer } = data.run;
  const numbers = answer && quoteNumbers(answer);
  const ranges = (answer?.evidence ?? []).map((quote, at) => ({
    document_id: quote.document_id,
    start: quote.start,
    end: quote.end,
    kind: "evidence",
    title: `quote ${numbers.get(at)} of the answer`,
  }));
  const missing = [];
  for (const [id, slot] of data.memoryAt(place).members) {
    if (slot !== "quote") continue;
    const record = data.records.get(id);
    if (!record) missing.push(id);
    for (const span of record?.spans ?? []) {
      ranges.push({ ...span, kind: "quote", title: `held since step ${record.step}` });
    }
  }
  return { ranges, missing };
}
