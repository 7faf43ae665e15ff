/** Which characters of the source are evidence at a step: what the memory holds, and what the answer quotes. */

/**
 * Marks of the quotes that the working memory holds after a step, as far as their records are known.
 * @param {RunData} data
 * @param {number} place
 * @returns {{ranges: object[], missing: string[]}} marks, and ids of records that are not known yet
 */
export function evidenceAt(data, place) {
  const ranges = (data.run.answer?.evidence ?? []).map((quote, number) => ({
    document_id: quote.document_id,
    start: quote.start,
    end: quote.end,
    kind: "evidence",
    title: `quote ${number + 1} of the answer`,
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
