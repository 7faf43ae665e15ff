/** What a file that needs no server holds (offline.py writes it): answers by path, records, texts. */

import { Slice } from "./text.js";

const holder = document.getElementById("stored");
const texts = new Map();
let reading = null;

/** Whether this page is such a file. */
export const offline = holder !== null;

async function unpack() {
  const bytes = Uint8Array.from(atob(holder.textContent), (character) => character.charCodeAt(0));
  holder.remove();
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

/** What the file holds; unpacked once. */
export function contents() {
  reading ??= unpack();
  return reading;
}

function textOf(held, id, start, end) {
  if (!texts.has(id)) texts.set(id, new Slice(held.texts[id], 0));
  const whole = texts.get(id);
  const first = Math.max(0, Math.min(start, whole.end));
  const last = Math.max(first, Math.min(end, whole.end));
  return { start: first, end: last, length: whole.end, text: whole.cut(first, last) };
}

/**
 * What a server would answer to a request.
 * @param {string} path such as "/api/runs/3f2a/outline"
 * @param {object} values the query
 * @returns {Promise<object|undefined>} undefined for what is not in the file
 */
export async function storedAnswer(path, values) {
  const held = await contents();
  const text = /^\/api\/documents\/(\w+)\/text$/.exec(path);
  if (text) return textOf(held, text[1], values.start, values.end);
  if (path.endsWith("/records")) {
    return Object.fromEntries(values.ids.split(",").map((id) => [id, held.records[id]]));
  }
  return held.answers[path];
}
