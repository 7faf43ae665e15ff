/** What had become of each chunk of a run's documents up to a step. */

/** Kinds of fates from the least to the most; a chunk shows the most that happened to it. */
export const FATES = [
  { name: "untouched", words: "not looked at" },
  { name: "gisted", words: "gisted", hint: "A short summary of it was made" },
  { name: "out", words: "left out", hint: "The gate looked at it and left it out" },
  { name: "in", words: "let in", hint: "The gate let it in" },
  { name: "read", words: "read", hint: "Its text stood in a prompt of the reader" },
  { name: "quoted", words: "quoted", hint: "A quote of it was taken up, or is evidence of the answer" },
];
const RANKS = new Map(FATES.map((fate, rank) => [fate.name, rank]));

/** All chunks in one row, with what happened to them. */
export class Fates {
  /** @param {{documents: object[], fates: Array[]}} told what the server says of the chunks */
  constructor(told) {
    this.documents = told.documents;
    this.firsts = [];
    this.count = 0;
    for (const one of told.documents) {
      this.firsts.push(this.count);
      this.count += one.chunks.length;
    }
    this.turns = told.fates;
  }

  /** Rank of each chunk's fate (an index of FATES) after a step. */
  upTo(step) {
    const ranks = new Uint8Array(this.count);
    for (const [number, document, chunk, fate] of this.turns) {
      if (number > step) break;
      const place = this.firsts[document] + chunk;
      ranks[place] = Math.max(ranks[place], RANKS.get(fate));
    }
    return ranks;
  }

  /** Chunks to which something happened at a step. */
  at(step) {
    return new Set(
      this.turns.filter(([number]) => number === step).map(([, document, chunk]) => this.firsts[document] + chunk),
    );
  }

  /** The span of the chunk at a place of the row. */
  span(place) {
    let document = this.documents.length - 1;
    while (this.firsts[document] > place) document -= 1;
    const [start, end] = this.documents[document].chunks[place - this.firsts[document]];
    const { document_id: id, cut } = this.documents[document];
    return { document_id: id, start, end, cut, chunk: place - this.firsts[document] };
  }
}
