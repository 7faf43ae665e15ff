/** The head of a run's page: the question, how the run stands, and what can be done with it. */

import { pageAddress, resume, runs } from "./api.js";
import { address, go, runAddress } from "./address.js";
import { button, el, fill } from "./dom.js";
import { count, moment, several, short, stateHint, stateWords } from "./format.js";
import { errorPanel } from "./errors.js";
import { offline } from "./stored.js";
import { plain, said, shortened } from "./text.js";

const RESUMABLE = ["interrupted", "failed", "budget_spent"];

const FORK = "Go on from this step with something changed, as a new run";

function descent(run) {
  if (!run.parent) return null;
  const link = el("a", { href: runAddress(run.parent, run.forked_at || null) }, short(run.parent));
  return run.forked_at === null ? ["follow-up of ", link] : [`fork after step ${run.forked_at} of `, link];
}

function standing(data) {
  const { run } = data;
  const { usage } = run;
  const models = Object.entries(run.models).map(([role, name]) => `${role}: ${name}`).join("\n");
  const tokens = usage.prompt_tokens + usage.completion_tokens;
  const cached = usage.cached_calls ? ` (${count(usage.cached_calls)} cached)` : "";
  const parts = [
    el("span", { title: stateHint(run.status) ?? "" }, stateWords(run.status)),
    el("span", { title: plain(models) }, run.graph),
    `${several(usage.calls, "call")}${cached}`,
    `${count(tokens)} tokens`,
    moment(run.created_at),
    descent(run),
  ];
  return el("p.small.standing", {}, parts.filter(Boolean).map((part) => el("span", {}, part)));
}

async function candidates(data) {
  const others = (await runs()).filter((one) => one.id !== data.run.id);
  const near = (one) => one.parent === data.run.id || one.id === data.run.parent;
  const same = (one) => one.document_ids.some((id) => data.run.document_ids.includes(id));
  const rank = (one) => (near(one) ? 0 : same(one) ? 1 : 2);
  return others.sort((one, other) => rank(one) - rank(other));
}

function compareWith(data) {
  const room = el("span.bar", {});
  const start = button("Compare with…", async () => {
    try {
      const found = await candidates(data);
      if (!found.length) {
        fill(room, el("span.small", {}, "There is no other run yet."));
        return;
      }
      const options = found.map(
        (one) => el("option", { value: one.id }, shortened(plain(`${one.graph}: ${one.question}`), 70)),
      );
      const choice = el("select", { "aria-label": "The other run" }, options);
      fill(room, choice, button("Compare", () => go(`/compare/${data.run.id}/${choice.value}`)));
      choice.focus();
    } catch (error) {
      fill(room, errorPanel(error));
    }
  });
  room.append(start);
  return room;
}

function resumeButton(data) {
  const room = el("span", {});
  room.append(
    button("Resume", async () => {
      try {
        await resume(data.run.id);
        fill(room, el("span.small", {}, "It goes on…"));
      } catch (error) {
        fill(room, errorPanel(error));
      }
    }),
  );
  return room;
}

/** The head of a run's page. */
export class RunHead {
  /** @param {RunData} data */
  constructor(data) {
    this.data = data;
    this.element = el("header.run-head", {});
    this.fork = el("a.button", { hidden: true, "aria-describedby": "fork-why" });
    this.why = el("p.small", { id: "fork-why", hidden: true });
    this.draw();
  }

  /** Show how the run stands now. */
  draw() {
    const { data } = this;
    const { run } = data;
    const stopped = !data.atWork && RESUMABLE.includes(run.status);
    const follow = { href: address("/ask", { parent: run.id }), title: "Ask something more about the same documents" };
    const page = { href: pageAddress(run.id), download: true, title: "The whole run as one file that needs no server" };
    fill(
      this.element,
      said(run.question, "h1"),
      standing(data),
      !offline && el(
        "div.bar.actions",
        {},
        this.fork,
        stopped && resumeButton(data),
        compareWith(data),
        run.answer && el("a.button", follow, "Follow up"),
        el("a.button", page, "Download page"),
      ),
      !offline && this.why,
    );
  }

  /** Offer a fork from the step that is shown, or from the last one at which a change is not too late. */
  at(step) {
    this.fork.hidden = step === null || this.data.atWork;
    const from = Math.min(step, this.data.lastOpen ?? step);
    this.fork.textContent = from ? `Fork from step ${from}` : "Fork from the beginning";
    this.fork.title = FORK;
    this.why.hidden = this.fork.hidden || from === step;
    this.why.textContent = `The answer is decided at step ${this.data.decided}: a change has to go in before it.`;
    this.fork.href = runAddress(this.data.run.id, from, { fork: 1 });
  }
}
