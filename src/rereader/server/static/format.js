/** Numbers, times and states in words. */

const NUMBER = new Intl.NumberFormat("en");
const STATES = {
  answered: "✓ answered",
  declined: "– declined",
  budget_spent: "◐ budget spent",
  interrupted: "‖ interrupted",
  failed: "✕ failed",
  running: "● at work",
  waiting: "○ waiting",
  working: "● at work",
  done: "✓ done",
  stopped: "‖ stopped",
};
const HINTS = {
  declined: "The documents do not say it, or no quote carries an answer.",
  budget_spent: "The limits that were set were reached before the end.",
  interrupted: "It was stopped; it can be resumed.",
};

/** 1234567 as 1,234,567. */
export function count(value) {
  return NUMBER.format(value);
}

/** "1 step", "2 steps"; another plural is named. */
export function several(number, noun, plural = `${noun}s`) {
  return `${count(number)} ${number === 1 ? noun : plural}`;
}

/** Seconds as "40 ms", "1.4 s", "3 min 10 s", "2 h 5 min". */
export function duration(seconds) {
  if (seconds < 0.95) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Seconds since 1970 as a date and time of here. */
export function moment(seconds) {
  return new Date(seconds * 1000).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
}

/** A score with four decimals; nothing for none. */
export function score(value) {
  return value === null || value === undefined ? "" : value.toFixed(4);
}

/** A state in words, with a sign before it. */
export function stateWords(state) {
  return STATES[state] ?? state.replaceAll("_", " ");
}

/** What a state means, where it needs saying. */
export function stateHint(state) {
  return HINTS[state] ?? null;
}

/** The first characters of an id. */
export function short(id) {
  return id.slice(0, 12);
}

/** "recap_of" as "recap of". */
export function spaced(name) {
  return name.replaceAll("_", " ");
}
