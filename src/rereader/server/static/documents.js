/** The documents of the library: listed, added, removed. */

import { documents, removeDocument, upload } from "./api.js";
import { documentAddress } from "./address.js";
import { announce, button, el, figure, fill } from "./dom.js";
import { errorPanel } from "./errors.js";
import { several } from "./format.js";
import { JobCard } from "./jobcard.js";
import { ended, knownJob, listen } from "./live.js";
import { said, shortened, plain } from "./text.js";

const NOT_ERASED =
  "Its text still stands in the library's files, since another process reads an older state of them (a backup, say). " +
  "When it has ended, run: rereader gc";

class DocumentsView {
  constructor(root) {
    this.list = el("div", {});
    this.cards = el("div", {});
    this.byJob = new Map();
    fill(root, el("h1", {}, "Documents"), this.adding(), this.cards, this.list);
    this.deafen = listen((kind, told) => this.hear(kind, told));
  }

  adding() {
    const input = el(
      "input",
      { type: "file", multiple: true, id: "files", onchange: () => this.add([...input.files]) },
    );
    const label = el(
      "label",
      { for: "files" },
      "Add files: plain text, Markdown, HTML, EPUB, PDF, DOCX, subtitles, tables. Or drop them here.",
    );
    const zone = el("div.drop.note", {}, label, input);
    zone.addEventListener("dragover", (event) => {
      event.preventDefault();
      zone.classList.add("over");
    });
    zone.addEventListener("dragleave", () => zone.classList.remove("over"));
    zone.addEventListener("drop", (event) => {
      event.preventDefault();
      zone.classList.remove("over");
      this.add([...event.dataTransfer.files]);
    });
    return zone;
  }

  async add(files) {
    for (const file of files) await this.send(file);
  }

  async send(file) {
    const bar = el("progress", { max: "1", value: "0", "aria-label": "Sent so far" });
    const card = el("section.job.note", {}, el("p", {}, "Sending ", said(file.name)), bar);
    this.cards.append(card);
    try {
      const { job } = await upload(file, (sent, all) => {
        bar.value = all ? sent / all : 0;
      });
      card.remove();
      this.follow(job, file.name);
    } catch (error) {
      fill(card, el("p", {}, said(file.name)), errorPanel(error));
    }
  }

  follow(id, name) {
    const known = knownJob(id) ?? {
      id,
      kind: "add",
      state: "waiting",
      place: 0,
      progress: null,
      warnings: [],
      error: null,
    };
    const card = new JobCard({ ...known, question: name }, () => card.element.remove());
    this.byJob.set(id, { card, name });
    this.cards.append(card.element);
    if (ended(known)) this.hear("job", known);
  }

  hear(kind, told) {
    const found = this.byJob.get(told.id ?? told.job);
    if (!found) return;
    if (kind === "progress") found.card.progress(told);
    if (kind !== "job") return;
    found.card.show({ ...told, question: found.name });
    if (told.state === "done") {
      found.card.element.remove();
      announce(`${plain(found.name)} was added`);
      this.draw();
    }
  }

  async draw() {
    const found = await documents();
    if (!found.length) {
      fill(this.list, el("p.empty", {}, "There are no documents yet. Add a file above; then ask it something."));
      return;
    }
    const rows = found.map((one) => this.row(one));
    const heads = ["Title", "File", "Characters", "Runs", ""].map((title, place) =>
      el(place === 2 || place === 3 ? "th.figure" : "th", { scope: "col" }, title),
    );
    fill(
      this.list,
      el("div.wide", {}, el("table.listing", {}, el("thead", {}, el("tr", {}, heads)), el("tbody", {}, rows))),
    );
  }

  row(one) {
    const title = el("a", { href: documentAddress(one.id) }, said(shortened(one.title, 120)));
    const remove = button("Remove", () => this.remove(one), { "aria-label": `Remove ${plain(one.title)}` });
    return el(
      "tr",
      {},
      el("td", {}, title),
      el("td", {}, said(shortened(one.source, 60))),
      el("td.figure", {}, ...figure(one.length, "character")),
      el("td.figure", {}, ...figure(one.runs, "run")),
      el("td", {}, remove),
    );
  }

  async remove(one) {
    const lost = one.runs ? ` ${several(one.runs, "run")} that read it will be removed with it.` : "";
    if (!confirm(`Remove "${plain(one.title)}" and all that was made of it?${lost}`)) return;
    try {
      const { erased } = await removeDocument(one.id);
      announce("Removed");
      if (!erased) this.cards.append(el("section.job.note", {}, el("p", {}, NOT_ERASED)));
    } catch (error) {
      this.cards.append(errorPanel(error));
    }
    await this.draw();
  }
}

/** Show the documents. */
export async function documentsView(root) {
  const view = new DocumentsView(root);
  await view.draw();
  return { title: "Documents", close: () => view.deafen() };
}
