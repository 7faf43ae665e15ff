/** Every operation of the server, one function each. No other module opens a connection. */

import { offline, storedAnswer } from "./stored.js";

/** Milliseconds before a stream that the server closed is opened again. */
const AGAIN = 5_000;

/** What the server refused or could not do. */
class ApiError extends Error {
  constructor(status, message, hint) {
    super(message);
    this.status = status;
    this.hint = hint;
  }
}

function gone() {
  return new ApiError(0, "The server does not answer.", "Start it again: rereader serve");
}

function refused(status, text) {
  let said = {};
  try {
    said = JSON.parse(text);
  } catch {
    // A proxy or a crash answers in plain text; the status says enough.
  }
  const unknown = status === 401 ? "This page has no access to the server." : `The server answered with ${status}.`;
  const open = status === 401 ? "Open the address that rereader serve printed." : "";
  return new ApiError(status, said.error ?? unknown, said.hint ?? open);
}

async function fromFile(path, values) {
  const found = await storedAnswer(path, values);
  if (found !== undefined) return found;
  throw new ApiError(404, "This file holds one run, and no more.", "rereader serve shows the rest.");
}

async function call(method, path, { body, signal } = {}) {
  if (offline) throw new ApiError(0, "This is a file without a server.", "rereader serve can do that.");
  const headers = { "X-Rereader": "1" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const sent = body === undefined ? undefined : JSON.stringify(body);
  let answer;
  try {
    answer = await fetch(path, { method, headers, signal, body: sent });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw gone();
  }
  const text = await answer.text();
  if (!answer.ok) throw refused(answer.status, text);
  return text ? JSON.parse(text) : null;
}

function get(path, values = {}, signal = undefined) {
  if (offline) return fromFile(path, values);
  const told = Object.entries(values).filter(([, value]) => value !== undefined && value !== null);
  return call("GET", told.length ? `${path}?${new URLSearchParams(told)}` : path, { signal });
}

const ofRun = (id) => `/api/runs/${encodeURIComponent(id)}`;
const ofDocument = (id) => `/api/documents/${encodeURIComponent(id)}`;

/** What the server is: version, workspace, graphs with settings, models. */
export const about = () => get("/api/about");
/** All operations, as an OpenAPI document. */
export const openapi = () => get("/openapi.json");
/** The library's documents. */
export const documents = () => get("/api/documents");
/** One document. */
export const documentOf = (id) => get(ofDocument(id));
/** Remove a document; tells how many runs lose their source. */
export const removeDocument = (id) => call("DELETE", ofDocument(id));
/** Characters [start, end) of a document. */
export const textOf = (id, start, end, signal) => get(`${ofDocument(id)}/text`, { start, end }, signal);
/** Passages of a document that match words. */
export const search = (id, q, limit) => get(`${ofDocument(id)}/search`, { q, limit });
/** All runs, forks and follow-ups under their parents. */
export const runs = () => get("/api/runs");
/** One run whole, without its steps. */
export const run = (id) => get(ofRun(id));
/** Steps after one, a line each, and the changes of the working memory. */
export const outline = (id, after) => get(`${ofRun(id)}/outline`, { after });
/** Records by id, 200 at most. */
export const records = (id, ids) => get(`${ofRun(id)}/records`, { ids: ids.join(",") });
/** Everything of one step. */
export const step = (id, number) => get(`${ofRun(id)}/steps/${number}`);
/** The chunks of a run's documents, and what happened to each. */
export const chunks = (id) => get(`${ofRun(id)}/chunks`);
/** What each claim rests on. */
export const blame = (id) => get(`${ofRun(id)}/blame`);
/** What was known of a fact from step to step. */
export const course = (id, fact) => get(`${ofRun(id)}/course`, { fact });
/** What rounds of attention looked at. */
export const heat = (id) => get(`${ofRun(id)}/heat`);
/** Two runs compared. */
export const difference = (one, other) => get(`${ofRun(one)}/diff/${encodeURIComponent(other)}`);
/** The working memory after a step, as edits take it. */
export const memory = (id, number) => get(`${ofRun(id)}/memory`, { step: number });
/** Address of a run as one file that needs no server. */
export const pageAddress = (id) => `${ofRun(id)}/page`;
/** Put a question; tells the job. */
export const ask = (wanted) => call("POST", "/api/runs", { body: wanted });
/** Go on from a step with changes; tells the job. */
export const fork = (id, wanted) => call("POST", `${ofRun(id)}/forks`, { body: wanted });
/** Go on with a run that was stopped; tells the job. */
export const resume = (id) => call("POST", `${ofRun(id)}/resume`);
/** What a question would cost. */
export const estimate = (wanted) => call("POST", "/api/estimate", { body: wanted });
/** All jobs. */
export const jobs = () => get("/api/jobs");
/** One job. */
export const job = (id) => get(`/api/jobs/${encodeURIComponent(id)}`);
/** Stop a job; a run stays resumable. */
export const stop = (id) => call("DELETE", `/api/jobs/${encodeURIComponent(id)}`);

/**
 * Send a file to the library.
 * @param {File} file
 * @param {function(number, number): void} progress bytes sent, bytes in all
 * @returns {Promise<{job: string}>}
 */
export function upload(file, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // fetch does not tell how much was sent
    request.open("POST", `/api/documents?${new URLSearchParams({ name: file.name })}`);
    request.setRequestHeader("X-Rereader", "1");
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = (event) => progress(event.loaded, event.total);
    request.onerror = () => reject(gone());
    request.onload = () => {
      if (request.status < 300) resolve(JSON.parse(request.responseText));
      else reject(refused(request.status, request.responseText));
    };
    request.send(file);
  });
}

/**
 * Listen to what the server tells of its jobs.
 * @param {function(string, object): void} tell kind of event ("job", "step", "progress", "warning") and its data
 * @param {function(boolean): void} connected whether the stream is open
 */
export function events(tell, connected) {
  if (offline) return;
  let stream = null;
  const open = () => {
    if (document.hidden) return; // a browser has six connections to a server; windows behind others need none
    const mine = new EventSource("/api/events");
    stream = mine;
    mine.onopen = () => connected(true);
    mine.onerror = () => {
      connected(false);
      if (mine.readyState === EventSource.CLOSED) setTimeout(() => stream === mine && open(), AGAIN);
    };
    for (const kind of ["job", "step", "progress", "warning"]) {
      mine.addEventListener(kind, (event) => tell(kind, JSON.parse(event.data)));
    }
  };
  document.addEventListener("visibilitychange", () => {
    stream?.close();
    stream = null;
    open();
  });
  open();
}
