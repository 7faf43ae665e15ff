/** What the server is doing: one stream of events for the whole page. */

import { events, job as readJob } from "./api.js";

const jobs = new Map();
const listeners = new Set();

function tell(kind, data) {
  if (kind === "job") jobs.set(data.id, data);
  const job = jobs.get(data.job);
  if (kind === "progress" && job) job.progress = data;
  if (kind === "step" && job) job.progress = null;
  if (kind === "warning" && job && !job.warnings.includes(data.text)) job.warnings.push(data.text);
  for (const listener of [...listeners]) listener(kind, data);
}

/** Ask for what happened to the jobs while nobody listened. */
function catchUp() {
  for (const { id } of liveJobs()) readJob(id).then((job) => tell("job", job), () => jobs.delete(id));
}

/** Open the stream; the banner tells when it is lost. */
export function startLive(banner) {
  let opened = false;
  events(tell, (open) => {
    banner.hidden = open;
    if (open && opened) catchUp();
    opened ||= open;
  });
}

/**
 * Listen to events until the returned function is called.
 * @param {function(string, object): void} listener kind ("job", "step", "progress", "warning") and data
 */
export function listen(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** A job as the stream told it last; undefined if it did not. */
export function knownJob(id) {
  return jobs.get(id);
}

/** Whether a job has come to its end. */
export function ended(job) {
  return ["done", "failed", "stopped"].includes(job.state);
}

/** The jobs that wait or work, the next one first. */
export function liveJobs() {
  return [...jobs.values()].filter((job) => !ended(job)).sort((one, other) => one.place - other.place);
}
