/** The address of what is shown: views read it, change it in place while sliding, and go on from it. */

import { offline } from "./stored.js";

const listeners = new Set();
/** A file without a server has one address; what is shown stands behind the hash. */
const base = offline ? "#" : "";

function current() {
  return offline ? location.hash.slice(1) : location.pathname + location.search;
}

/** The path and the query of now. */
export function here() {
  const [path, query] = current().split("?");
  return { path, query: new URLSearchParams(query ?? "") };
}

/** Call a function whenever another view is wanted. */
export function onChange(listener) {
  listeners.add(listener);
}

function told() {
  for (const listener of listeners) listener();
}

/** Go to another view; Back leads here again. */
export function go(address) {
  history.pushState(null, "", base + address);
  told();
}

/** Change the address of the view that is shown, without a new entry in the history. */
export function replace(address) {
  if (address !== current()) history.replaceState(null, "", base + address);
}

/** Note a jump within the view that is shown: Back leads to where it came from. */
export function jump(address) {
  if (address !== current()) history.pushState(null, "", base + address);
}

/** A path with those values of a query that are there. */
export function address(path, values = {}) {
  const told = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return told.length ? `${path}?${new URLSearchParams(told)}` : path;
}

/** Address of a run, at a step if one is named. */
export function runAddress(id, step = null, values = {}) {
  return address(step === null ? `/runs/${id}` : `/runs/${id}/${step}`, values);
}

/** Address of characters of a document. */
export function documentAddress(id, start = null, end = null) {
  return address(`/documents/${id}`, { at: start === null ? null : `${start}-${end}` });
}

/** Read "START-END"; null if it is no such thing. */
export function readRange(text) {
  const found = /^(\d+)-(\d+)$/.exec(text ?? "");
  return found ? { start: Number(found[1]), end: Number(found[2]) } : null;
}

/** Follow links within the page without loading it anew, and the browser's Back and Forward. */
export function followLinks() {
  addEventListener("popstate", told);
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest("a[href]") : null;
    const target = link?.getAttribute("href") ?? "";
    const plainClick = !event.defaultPrevented && event.button === 0;
    const modified = event.metaKey || event.ctrlKey || event.shiftKey || event.altKey;
    const loaded = link?.hasAttribute("download") || /^\/(api\/|static\/|openapi)/.test(target);
    if (!target.startsWith("/") || loaded || !plainClick || modified) return;
    event.preventDefault();
    go(target);
  });
}
