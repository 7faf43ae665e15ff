/** All runs, forks and follow-ups under the run that they are of; those at work with their progress. */

import { runs } from "./api.js";
import { runAddress } from "./address.js";
import { debounced, el, figure, fill } from "./dom.js";
import { count, moment, short, stateHint, stateWords } from "./format.js";
import { JobCard } from "./jobcard.js";
import { ended, liveJobs, listen } from "./live.js";
import { said, shortened } from "./text.js";

const MOST_SHOWN = 300;
const DEEPEST = 8;

function matches(run, words) {
  const text = `${run.question} ${run.answer ?? ""} ${run.graph} ${run.status} ${run.id}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

function tokens({ usage }) {
  return usage.prompt_tokens + usage.completion_tokens;
}

function row(run) {
  const descent = { fork: `fork at ${run.forked_at}`, "follow-up": "follow-up" }[run.descent];
  const link = el("a", { href: runAddress(run.id) }, said(shortened(run.question, 140)));
  const question = el(
    "td.tree",
    {},
    descent && el("span.descent", {}, `└ ${descent}`),
    link,
    run.answer && el("div.small", {}, said(shortened(run.answer, 160))),
  );
  question.style.setProperty("--depth", String(Math.min(run.depth, DEEPEST)));
  return el(
    "tr",
    { "data-run": run.id },
    question,
    el("td", {}, el(`span.status.${run.status}`, { title: stateHint(run.status) ?? "" }, stateWords(run.status))),
    el("td", {}, run.graph),
    el("td.figure", {}, ...figure(tokens(run), "token")),
    el("td", {}, moment(run.created_at)),
    el("td", {}, el("a.mono", { href: runAddress(run.id), tabindex: "-1", "aria-hidden": "true" }, short(run.id))),
  );
}

class RunsView {
  constructor(root) {
    this.found = [];
    this.cards = new Map();
    this.working = el("div", {});
    this.list = el("div", {});
    this.filter = el(
      "input",
      {
        type: "search",
        placeholder: "Filter by words, graph or status",
        "aria-label": "Filter the runs",
        oninput: () => this.draw(),
      },
    );
    this.readLater = debounced(() => this.read().catch(() => {}), 300);
    const ask = el("a.button", { href: "/ask" }, "Ask a question");
    fill(root, el("div.bar", {}, el("h1", {}, "Runs"), this.filter, ask), this.working, this.list);
    this.deafen = listen((kind, told) => this.hear(kind, told));
    for (const job of liveJobs()) this.card(job);
  }

  card(job) {
    const card = new JobCard(job, () => this.drop(card));
    this.cards.set(job.id, card);
    const watch = el("p", {});
    const node = el("div", {}, card.element, watch);
    card.watch = watch;
    card.whole = node;
    this.working.append(node);
    this.link(card, job);
  }

  link(card, job) {
    fill(card.watch, job.run && !ended(job) && el("a", { href: runAddress(job.run) }, "Watch its steps"));
  }

  hear(kind, told) {
    if (kind === "step") this.readLater();
    const card = this.cards.get(told.job ?? told.id);
    if (kind === "progress" && card) card.progress(told);
    if (kind === "step" && card) card.step(told);
    if (kind !== "job") return;
    if (!card && !ended(told)) this.card(told);
    else if (card) this.update(card, told);
    this.readLater();
  }

  update(card, job) {
    card.show(job);
    this.link(card, job);
    if (job.state === "done") this.drop(card);
  }

  drop(card) {
    card.whole.remove();
    this.cards.delete(card.job.id);
  }

  async read() {
    this.found = await runs();
    this.draw();
  }

  draw() {
    if (!this.found.length) {
      fill(
        this.list,
        el("p.empty", {}, "There are no runs yet. ", el("a", { href: "/ask" }, "Ask a question"), " to make one."),
      );
      return;
    }
    const words = this.filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const shown = this.found.filter((run) => matches(run, words));
    const heads = ["Question and answer", "Status", "Graph", "Tokens", "Asked", "Run"];
    const head = el(
      "tr",
      {},
      heads.map((title) => el(title === "Tokens" ? "th.figure" : "th", { scope: "col" }, title)),
    );
    const left = shown.length - MOST_SHOWN;
    fill(
      this.list,
      el(
        "div.wide",
        {},
        el("table.listing.runs", {}, el("thead", {}, head), el("tbody", {}, shown.slice(0, MOST_SHOWN).map(row))),
      ),
      !shown.length && el("p.empty", {}, "No run matches the filter."),
      left > 0 && el("p.small", {}, `${count(left)} more; filter to find them.`),
    );
  }
}

/** Show the runs. */
export async function runsView(root) {
  const view = new RunsView(root);
  await view.read();
  return { title: "Runs", close: () => view.deafen() };
}
