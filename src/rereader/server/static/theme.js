/** Light or dark: as the system has it, or as the reader chose. */

const KEY = "rereader-theme";
const ORDER = ["auto", "light", "dark"];
const WORDS = { auto: "Colours: system", light: "Colours: light", dark: "Colours: dark" };

function stored() {
  try {
    const found = localStorage.getItem(KEY);
    return ORDER.includes(found) ? found : "auto";
  } catch {
    return "auto"; // storage is switched off: the choice holds until the page is closed
  }
}

function store(theme) {
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // see stored()
  }
}

function apply(theme, button) {
  document.documentElement.dataset.theme = theme;
  button.textContent = WORDS[theme];
  dispatchEvent(new Event("themechange"));
}

/** Let a button walk through the three choices. */
export function startTheme(button) {
  let theme = stored();
  apply(theme, button);
  button.addEventListener("click", () => {
    theme = ORDER[(ORDER.indexOf(theme) + 1) % ORDER.length];
    store(theme);
    apply(theme, button);
  });
}

function isDark() {
  const { theme } = document.documentElement.dataset;
  return theme === "dark" || (theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
}

/** The value of a colour of the style sheet, as a canvas takes it. */
export function colour(name) {
  const found = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const both = /^light-dark\((.*),(.*)\)$/.exec(found);
  return both ? both[isDark() ? 2 : 1].trim() : found;
}
