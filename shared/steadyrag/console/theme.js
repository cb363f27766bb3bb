// Light or dark: the system's at first, then the one that was last chosen.

const KEPT = 'steadyrag.theme';
const system = matchMedia('(prefers-color-scheme: dark)');

export function current() {
  return document.documentElement.dataset.theme ?? (system.matches ? 'dark' : 'light');
}

export function choose(theme) {
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem(KEPT, theme);
  } catch {
    // Not remembered, then.
  }
}

/** Takes up what was chosen last, and tells `changed` when the system changes its mind. */
export function begin(changed) {
  try {
    const found = localStorage.getItem(KEPT);
    if (found === 'dark' || found === 'light') document.documentElement.dataset.theme = found;
  } catch {
    // The system's, then.
  }
  system.addEventListener('change', changed);
}
