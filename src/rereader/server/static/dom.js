/** Elements from descriptions. Strings become text nodes, never markup. */

import { several } from "./format.js";

function append(node, children) {
  for (const child of children) {
    if (Array.isArray(child)) append(node, child);
    else if (child !== null && child !== undefined && child !== false) node.append(child);
  }
}

/**
 * Build an element.
 * @param {string} description a tag with classes, such as "p.small"
 * @param {object} [properties] attributes; "on..." functions listen; true sets a bare attribute, false and null none
 * @param {...(Node|string|Array)} children strings of our own; text of others goes through text.js
 * @returns {HTMLElement}
 */
export function el(description, properties = {}, ...children) {
  const [tag, ...classes] = description.split(".");
  const node = document.createElement(tag);
  if (classes.length) node.className = classes.join(" ");
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  append(node, children);
  return node;
}

/** Put children in the place of what a node holds. */
export function fill(node, ...children) {
  node.replaceChildren();
  append(node, children);
  return node;
}

/** A button that does something. */
export function button(label, act, properties = {}) {
  return el("button", { type: "button", onclick: act, ...properties }, label);
}

/** A list of terms and what is said of them; pairs without a value are left out. */
export function facts(pairs) {
  const told = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return el("dl.facts", {}, told.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

/** A figure of a table, with its unit where the window has no room for the heads of columns. */
export function figure(number, noun) {
  const [shown, unit] = several(number, noun).split(" ");
  return [shown, el("span.unit", {}, ` ${unit}`)];
}

/** A part that unfolds; what is in it is built when it is first opened. */
export function folded(summary, build, properties = {}) {
  const node = el("details", properties, el("summary", {}, summary));
  const unfold = () => {
    if (node.open && node.children.length === 1) append(node, [build()]);
  };
  node.addEventListener("toggle", unfold);
  unfold();
  return node;
}

/** Whether keys that are pressed now are meant for a field, not for the page. */
export function inField(target) {
  return target instanceof Element && target.closest("input, textarea, select, [contenteditable], canvas") !== null;
}

/** Call a function when nothing has asked for it for a while. */
export function debounced(act, milliseconds) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...values), milliseconds);
  };
}

/** Tell readers of the screen, politely. */
export function announce(text) {
  document.getElementById("announcer").textContent = text;
}
