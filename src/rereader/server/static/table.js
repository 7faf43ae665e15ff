/** A table that sorts by any column; of many rows only those in sight are in the page. */

import { button, el } from "./dom.js";

const MOST_WHOLE = 500;
const ROW = 30;
const SHOWN = 60;

function compare(one, other) {
  if (one === null || one === undefined) return 1;
  if (other === null || other === undefined) return -1;
  return typeof one === "number" ? one - other : String(one).localeCompare(String(other));
}

/**
 * @typedef {{title: string, hint?: string, figure?: boolean, value: function(object): (number|string|null),
 *   show: function(object): (Node|string)}} Column
 */

/** A sortable table of rows. */
export class Table {
  /**
   * @param {string} caption
   * @param {Column[]} columns
   * @param {object[]} rows
   */
  constructor(caption, columns, rows) {
    this.columns = columns;
    this.rows = [...rows];
    this.sorted = { column: -1, sign: 1 };
    this.heads = columns.map((column, index) => this.head(column, index));
    this.body = el("tbody");
    const table = el("table", { "aria-rowcount": String(rows.length + 1) }, el("caption.unseen", {}, caption));
    table.append(el("thead", {}, el("tr", {}, this.heads)), this.body);
    this.windowed = rows.length > MOST_WHOLE;
    const kind = this.windowed ? "div.wide.scrolls.tall" : "div.wide.scrolls";
    this.element = el(kind, { tabindex: "0", role: "region", "aria-label": caption }, table);
    if (this.windowed) this.element.addEventListener("scroll", () => this.draw());
    this.first = -1;
    this.draw();
  }

  head(column, index) {
    const sort = button(column.title, () => this.sort(index), { title: column.hint ?? `Sort by ${column.title}` });
    return el(column.figure ? "th.figure" : "th", { scope: "col", "aria-sort": "none" }, sort);
  }

  sort(index) {
    const sign = this.sorted.column === index ? -this.sorted.sign : this.columns[index].figure ? -1 : 1;
    this.sorted = { column: index, sign };
    const { value } = this.columns[index];
    this.rows.sort((one, other) => sign * compare(value(one), value(other)));
    this.heads.forEach((head, place) => {
      const direction = sign > 0 ? "ascending" : "descending";
      head.setAttribute("aria-sort", place === index ? direction : "none");
    });
    this.first = -1;
    this.draw();
  }

  draw() {
    if (!this.windowed) {
      this.body.replaceChildren(...this.rows.map((row) => this.row(row)));
      return;
    }
    const wanted = Math.floor(this.element.scrollTop / ROW) - SHOWN / 3;
    const first = Math.max(0, Math.min(wanted, this.rows.length - SHOWN));
    if (Math.abs(first - this.first) < SHOWN / 6 && this.first >= 0) return;
    this.first = first;
    const shown = this.rows.slice(first, first + SHOWN).map((row, index) => this.row(row, first + index));
    const below = this.rows.length - first - shown.length;
    this.body.replaceChildren(this.gap(first), ...shown, this.gap(below));
  }

  row(row, index = null) {
    const properties = index === null ? {} : { "aria-rowindex": String(index + 2) };
    return el(
      this.windowed ? "tr.fixed" : "tr",
      properties,
      this.columns.map((column) => el(column.figure ? "td.figure" : "td", {}, column.show(row))),
    );
  }

  gap(rows) {
    const cell = el("td.gap", { colspan: String(this.columns.length) });
    cell.style.height = `${rows * ROW}px`;
    return el("tr", { "aria-hidden": "true" }, cell);
  }
}
