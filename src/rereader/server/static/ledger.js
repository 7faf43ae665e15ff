/** What the working memory held at each of its versions, from the list of its changes. */

const STRIDE = 500;

/** Follows the changes [version, change, slot, record]; a version is what those up to it leave. */
export class Ledger {
  constructor() {
    this.changes = [];
    this.marks = [{ index: 0, members: new Map(), pinned: new Set() }];
  }

  /** Append changes; their versions do not go back. */
  add(changes) {
    for (const change of changes) this.changes.push(change);
  }

  /**
   * Records held at a version, in the order in which they were added.
   * @returns {{members: Map<string, string>, pinned: Set<string>}} slot by record
   */
  at(version) {
    const end = this.firstAfter(version);
    const mark = this.markBefore(end);
    const state = { members: new Map(mark.members), pinned: new Set(mark.pinned) };
    for (let index = mark.index; index < end; index += 1) {
      follow(state, this.changes[index]);
      if ((index + 1) % STRIDE === 0 && this.marks.length === (index + 1) / STRIDE) {
        this.marks.push({ index: index + 1, members: new Map(state.members), pinned: new Set(state.pinned) });
      }
    }
    return state;
  }

  firstAfter(version) {
    let low = 0;
    let high = this.changes.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.changes[middle][0] <= version) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  markBefore(end) {
    return this.marks[Math.min(this.marks.length - 1, Math.floor(end / STRIDE))];
  }
}

function follow(state, [, change, slot, record]) {
  if (change === "add") state.members.set(record, slot);
  else if (change === "pin") state.pinned.add(record);
  else if (change === "unpin") state.pinned.delete(record);
  else if (!state.pinned.has(record)) state.members.delete(record);
}
