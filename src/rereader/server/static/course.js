/** When a fact was known, and which step lost it. */

import { course } from "./api.js";
import { button, el, fill } from "./dom.js";
import { several } from "./format.js";
import { errorPanel } from "./errors.js";
import { said } from "./text.js";

function told(found, goToStep) {
  const step = (number) => button(`step ${number}`, () => goToStep(number));
  const held = found.steps.filter((one) => one.held_by.length).length;
  if (found.first === null) return el("p", {}, "It was never known: no record of the memory held these words.");
  const lost = found.losses.flatMap((number, place) => [place ? ", " : "", step(number)]);
  return [
    el(
      "p",
      {},
      "First known after ",
      step(found.first),
      `; held after ${several(held, "step")} of ${found.steps.length}.`,
    ),
    el("p", {}, found.losses.length ? ["Lost at ", lost, "."] : "No step lost it."),
    el("p", {}, `It was ${found.known_at_end ? "" : "not "}known when the answer was drafted.`),
  ];
}

function bar(found, goToStep) {
  const row = el("div.course", { "aria-hidden": "true" });
  const most = 200;
  const stride = Math.max(1, Math.ceil(found.steps.length / most));
  for (let place = 0; place < found.steps.length; place += stride) {
    const part = found.steps.slice(place, place + stride);
    const known = part.some((one) => one.held_by.length);
    row.append(el(known ? "i.known" : "i", { title: `step ${part[0].step}`, onclick: () => goToStep(part[0].step) }));
  }
  return row;
}

/**
 * A form that asks for the course of a fact.
 * @param {string} run
 * @param {function(number): void} goToStep
 */
export function courseForm(run, goToStep) {
  const input = el(
    "input",
    {
      type: "text",
      required: true,
      maxlength: "500",
      placeholder: "a fact, such as the right answer",
      "aria-label": "A fact",
    },
  );
  const room = el("div", { "aria-live": "polite" });
  const ask = async (event) => {
    event.preventDefault();
    try {
      const found = await course(run, input.value);
      fill(room, el("p", {}, said(found.fact, "b")), bar(found, goToStep), told(found, goToStep));
    } catch (error) {
      fill(room, errorPanel(error));
    }
  };
  return el(
    "section.part",
    { "aria-label": "Course of a fact" },
    el("h3", {}, "When was it known, which step lost it?"),
    el("form.bar", { onsubmit: ask }, input, el("button", { type: "submit" }, "Look")),
    room,
  );
}
