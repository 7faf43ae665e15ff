/** Fields for a graph's settings, a run's models and its budget; only what differs from the usual is sent. */

import { el } from "./dom.js";

const NUMBERS = ["int", "float"];
const LIMITS = [
  ["tokens", "Tokens", "Most tokens of prompts and replies together"],
  ["calls", "Model calls", "Most calls of models"],
  ["seconds", "Seconds", "Longest time, in seconds"],
];

function control(setting, value) {
  if (setting.kind === "bool") return el("input", { type: "checkbox", checked: value });
  if (setting.kind === "choice") {
    return el(
      "select",
      {},
      setting.choices.map((one) => el("option", { value: one, selected: one === String(value) }, one)),
    );
  }
  const number = NUMBERS.includes(setting.kind);
  return el(
    "input",
    { type: number ? "number" : "text", step: setting.kind === "int" ? "1" : "any", value: String(value ?? "") },
  );
}

function valueOf(setting, input) {
  if (setting.kind === "bool") return input.checked;
  return NUMBERS.includes(setting.kind) && input.value !== "" ? Number(input.value) : input.value;
}

function field(label, hint, input, more = "") {
  const help = [hint.replaceAll("``", ""), more].filter(Boolean).join(" ");
  return el("label.field", {}, el("span.field-name", {}, label), input, el("span.small.help", {}, help));
}

/** Fields for settings. */
export class SettingsFields {
  /**
   * @param {object[]} settings of a graph, as the server tells them
   * @param {object} values what they are to begin with, by name; the others are at their usual value
   * @param {{number: number, node: string}[]} steps that have worked by them; what one of them has fixed stays
   */
  constructor(settings, values = {}, steps = []) {
    this.rows = settings.map((setting) => {
      const before = values[setting.name] ?? setting.default;
      const input = control(setting, before);
      const fixing = steps.find(({ node }) => !setting.fixed_by || setting.fixed_by.includes(node));
      input.disabled = Boolean(fixing);
      return { setting, before, input, fixing };
    });
    this.element = el(
      "div.fields",
      {},
      this.rows.map(({ setting, input, fixing }) => {
        const fixed = fixing && `Fixed by step ${fixing.number} (${fixing.node}): fork before it to change this.`;
        return field(setting.name, setting.help, input, [`(${setting.values})`, fixed].filter(Boolean).join(" "));
      }),
    );
  }

  /** Settings that were changed, by name. */
  changed() {
    const rows = this.rows.map(({ setting, before, input }) => [setting.name, valueOf(setting, input), before]);
    return Object.fromEntries(rows.filter(([, value, before]) => value !== before && value !== ""));
  }
}

/** Fields for the models of each role. */
export class ModelFields {
  /**
   * @param {{models: object, pulled: string[]}} about what the server was started with, and what it has
   * @param {object} values models to begin with, by role
   */
  constructor(about, values = about.models) {
    this.rows = Object.entries(values).map(([role, before]) => {
      const names = [before, about.models[role], ...about.pulled, "extractive", "none", "hashing"].filter(Boolean);
      const select = el(
        "select",
        {},
        [...new Set(names)].map((name) => el("option", { value: name, selected: name === before }, name)),
      );
      return { role, before, select };
    });
    this.element = el("div.fields", {}, this.rows.map(({ role, select }) => field(role, "", select)));
  }

  /** Models that were changed, by role. */
  changed() {
    const rows = this.rows.filter(({ before, select }) => select.value !== before);
    return Object.fromEntries(rows.map(({ role, select }) => [role, select.value]));
  }
}

/** Fields for the limits of a run. */
export class BudgetFields {
  constructor() {
    this.rows = LIMITS.map(([name, label, hint]) => {
      const input = el("input", { type: "number", min: "1", placeholder: "no limit" });
      return { name, input, label, hint };
    });
    this.element = el("div.fields", {}, this.rows.map(({ label, hint, input }) => field(label, hint, input)));
  }

  /** Limits that were set; undefined if none was. */
  changed() {
    const rows = this.rows.filter(({ input }) => input.value !== "").map(
      ({ name, input }) => [name, Number(input.value)],
    );
    return rows.length ? Object.fromEntries(rows) : undefined;
  }
}
