/** The page: which address is shown by which view. */

import { followLinks, here, onChange, replace, runAddress } from "./address.js";
import { apiView } from "./apipage.js";
import { askView } from "./ask.js";
import { compareView } from "./compare.js";
import { documentView } from "./document.js";
import { documentsView } from "./documents.js";
import { announce, el, fill } from "./dom.js";
import { errorPanel } from "./errors.js";
import { forkView } from "./fork.js";
import { startLive } from "./live.js";
import { runView } from "./run.js";
import { runsView } from "./runs.js";
import { contents, offline } from "./stored.js";
import { copyExactly, plain, shortened } from "./text.js";
import { startTheme } from "./theme.js";

const ROUTES = [
  [/^\/(?:runs)?$/, runsView, []],
  [/^\/documents$/, documentsView, []],
  [/^\/documents\/([^/]+)$/, documentView, ["id"]],
  [/^\/runs\/([^/]+)$/, runView, ["id"]],
  [/^\/runs\/([^/]+)\/(\d+)$/, runView, ["id", "step"]],
  [/^\/compare\/([^/]+)\/([^/]+)$/, compareView, ["id", "other"]],
  [/^\/ask$/, askView, []],
  [/^\/api$/, apiView, []],
];

const root = document.getElementById("view");
let shown = { key: null, view: null };
let turn = 0;
let entered = false;

function find() {
  const { path, query } = here();
  for (const [pattern, show, names] of ROUTES) {
    const found = pattern.exec(path);
    if (!found) continue;
    const where = { id: null, step: null, other: null, query };
    names.forEach((name, place) => {
      where[name] = decodeURIComponent(found[place + 1]);
    });
    return { show: show === runView && query.get("fork") ? forkView : show, where };
  }
  return null;
}

function markPlace() {
  const part = here().path.split("/")[1];
  const first = ["", "compare"].includes(part) ? "runs" : part;
  for (const link of document.querySelectorAll("nav a")) {
    const current = link.pathname === `/${first}`;
    if (current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function nowhere() {
  fill(
    root,
    el("h1", {}, "There is nothing here"),
    el("p", {}, "No view has this address. ", el("a", { href: "/runs" }, "See the runs"), "."),
  );
}

async function show() {
  const found = find();
  markPlace();
  const key = found && `${found.show.name} ${found.where.id} ${found.where.other}`;
  if (key && key === shown.key && shown.view?.update) {
    shown.view.update(found.where);
    return;
  }
  turn += 1;
  const mine = turn;
  shown.view?.close?.();
  shown = { key, view: null };
  if (!found) {
    nowhere();
    return;
  }
  root.setAttribute("aria-busy", "true");
  const room = el("div.room", { "data-view": found.show.name });
  let view;
  try {
    view = await found.show(room, found.where);
  } catch (error) {
    view = { title: "Error" };
    fill(room, errorPanel(error, () => show()));
  }
  if (mine !== turn) {
    view.close?.();
    return;
  }
  enter(room, view, key);
}

function enter(room, view, key) {
  const first = !entered;
  entered = true;
  shown = { key: view.title === "Error" ? null : key, view };
  fill(root, room);
  root.removeAttribute("aria-busy");
  document.title = `${shortened(plain(view.title), 80)} · Rereader`;
  if (first) return;
  scrollTo(0, 0);
  if (!root.contains(document.activeElement)) root.focus({ preventScroll: true });
  announce(document.title);
}

/** A file without a server shows its one run. */
async function openFile() {
  document.querySelector(".top nav").hidden = true;
  const { run } = await contents();
  if (!here().path) replace(runAddress(run));
}

startTheme(document.getElementById("theme"));
startLive(document.getElementById("lost"));
followLinks();
copyExactly();
onChange(show);
if (offline) openFile().then(show);
else show();
