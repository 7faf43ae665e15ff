/** A job that is watched where it was started: its card, and the steps of its run as they end. */

import { job as readJob } from "./api.js";
import { runAddress } from "./address.js";
import { announce, el, fill } from "./dom.js";
import { JobCard } from "./jobcard.js";
import { ended, knownJob, listen } from "./live.js";

const MOST_STEPS = 200;

/**
 * Watch a job until it ends.
 * @param {HTMLElement} room
 * @param {string} id of the job
 * @param {function(object): void} done called with the job when it has come to a good end
 * @returns {Promise<function(): void>} stops watching
 */
export async function watchJob(room, id, done) {
  const job = knownJob(id) ?? (await readJob(id));
  const card = new JobCard(job, () => fill(room));
  const steps = el("ol.steps", { "aria-label": "Steps so far" });
  fill(room, card.element, steps);
  const hear = (kind, told) => {
    if ((told.job ?? told.id) !== id) return;
    if (kind === "progress") card.progress(told);
    if (kind === "warning") card.show(card.job);
    if (kind === "step") showStep(card, steps, told);
    if (kind !== "job") return;
    card.show(told);
    if (told.state === "done") done(told);
  };
  const deafen = listen(hear);
  const now = await readJob(id); // it may have ended while nobody listened
  if (ended(now)) hear("job", now);
  return deafen;
}

function showStep(card, steps, { run, step, node }) {
  card.step({ node });
  steps.append(el("li", { value: String(step) }, el("a", { href: runAddress(run, step) }, node)));
  if (steps.children.length > MOST_STEPS) steps.firstChild.remove();
  announce(`Step ${step}: ${node}`);
}
