/** Text of documents and models: exact offsets, and characters that nobody sees made visible. */

const ASTRAL = /[\u{10000}-\u{10ffff}]/gu;
/** Control characters, those that turn the direction, that do not show, and halves of surrogate pairs. */
const ODD = new RegExp(
  [
    "[\\0-\\x08\\x0b-\\x1f\\x7f-\\x9f]",
    "[\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069]",
    "[\\u00ad\\u180e\\u200b\\u2060-\\u2065\\u206a-\\u206f\\ufeff\\ufff9-\\ufffb\\u{e0000}-\\u{e007f}]",
    "\\p{Cs}",
  ].join("|"),
  "gu",
);
const NAMES = {
  "00AD": "soft hyphen",
  "061C": "Arabic letter mark",
  "200B": "zero width space",
  "200E": "left-to-right mark",
  "200F": "right-to-left mark",
  "2028": "line separator",
  "2029": "paragraph separator",
  "202A": "left-to-right embedding",
  "202B": "right-to-left embedding",
  "202C": "end of embedding",
  "202D": "left-to-right override",
  "202E": "right-to-left override",
  "2066": "left-to-right isolate",
  "2067": "right-to-left isolate",
  "2068": "first strong isolate",
  "2069": "end of isolate",
  "FEFF": "byte order mark",
};

/** A stretch of a document that begins at a character offset; finds where a character stands in the string. */
export class Slice {
  /**
   * @param {string} text the stretch
   * @param {number} start offset of its first character in the document, in code points
   */
  constructor(text, start) {
    this.text = text;
    this.start = start;
    this.astral = [];
    for (const match of text.matchAll(ASTRAL)) this.astral.push(match.index - this.astral.length);
    this.end = start + text.length - this.astral.length;
  }

  /** Index in the string (UTF-16) of the character at an offset of the document; offsets outside are clamped. */
  unit(offset) {
    const place = Math.max(0, Math.min(offset, this.end) - this.start);
    let low = 0;
    let high = this.astral.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.astral[middle] < place) low = middle + 1;
      else high = middle;
    }
    return place + low;
  }

  /** The characters from one offset of the document to another. */
  cut(start, end) {
    return this.text.slice(this.unit(start), this.unit(end));
  }
}

/** How many characters (code points) a text has. */
export function characters(text) {
  return new Slice(text, 0).end;
}

function code(character) {
  return character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
}

function named(character) {
  const number = code(character);
  const name = NAMES[number] ?? (number.startsWith("D") && number.length === 4 ? "half of a surrogate pair" : "");
  return `U+${number}${name ? `, ${name}` : ""}: does not show by itself`;
}

function box(character) {
  const mark = document.createElement("span");
  mark.className = "odd";
  mark.dataset.code = code(character);
  mark.title = named(character);
  mark.textContent = character;
  return mark;
}

/**
 * Append a text that nobody vouches for. Its characters stay what they are; those that cannot be seen get a box.
 * @param {Node} parent
 * @param {string} text
 * @returns {Node} the parent
 */
export function appendShown(parent, text) {
  let from = 0;
  for (const match of text.matchAll(ODD)) {
    if (match.index > from) parent.append(text.slice(from, match.index));
    parent.append(box(match[0]));
    from = match.index + match[0].length;
  }
  if (from < text.length) parent.append(text.slice(from));
  return parent;
}

/**
 * An element with a text that nobody vouches for, whose direction stays its own affair.
 * @param {string} text
 * @param {string} [tag] "bdi", or a block such as "p"
 * @param {string} [kind] a class
 */
export function said(text, tag = "bdi", kind = "") {
  const node = document.createElement(tag);
  node.dir = "auto";
  node.className = `said ${kind}`.trim();
  return appendShown(node, text);
}

/** The same for places that take a string alone (titles, options, labels): what cannot be seen is spelled out. */
export function plain(text) {
  return text.replace(ODD, (character) => `[U+${code(character)}]`);
}

/** Let a copy of a quote (.quoted), whose line ends and spaces are folded for the eye, be the source to the letter. */
export function copyExactly() {
  document.addEventListener("copy", (event) => {
    const selection = getSelection();
    if (selection.rangeCount !== 1) return;
    const range = selection.getRangeAt(0);
    const { commonAncestorContainer: node } = range;
    const holder = node instanceof Element ? node : node.parentElement;
    if (!holder?.closest(".quoted")) return;
    event.clipboardData.setData("text/plain", range.toString());
    event.preventDefault();
  });
}

/** The beginning of a text, in at most so many characters. */
export function shortened(text, most) {
  const line = text.slice(0, most * 3).replace(/\s+/g, " ").trim();
  const slice = new Slice(line, 0);
  return slice.end > most ? `${slice.cut(0, most)}…` : line;
}
