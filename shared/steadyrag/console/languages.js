// The page's language: the browser's at first, then the one that was last chosen.

import { en } from './words.en.js';
import { ko } from './words.ko.js';

const WORDS = { en, ko };
const KEPT = 'steadyrag.language';

let language = kept() ?? (navigator.language.toLowerCase().startsWith('ko') ? 'ko' : 'en');

export const current = () => language;
export const other = () => (language === 'en' ? 'ko' : 'en');

/** The words called `key`, with `{name}` replaced by the value of that name. */
export function t(key, values = {}) {
  const words = WORDS[language][key] ?? key;
  return words.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? '');
}

/** The words called `key`, or null where there are none. */
export const known = (key) => WORDS[language][key] ?? null;

export function speak(wanted) {
  language = wanted;
  try {
    localStorage.setItem(KEPT, wanted);
  } catch {
    // Not remembered, then.
  }
  label();
}

/** Puts words to everything in index.html that asks for some. */
export function label() {
  document.documentElement.lang = language;
  document.title = t('title');
  for (const element of document.querySelectorAll('[data-t]')) {
    element.textContent = t(element.dataset.t);
  }
  for (const element of document.querySelectorAll('[data-t-label]')) {
    element.setAttribute('aria-label', t(element.dataset.tLabel));
  }
  for (const element of document.querySelectorAll('[data-t-placeholder]')) {
    element.setAttribute('placeholder', t(element.dataset.tPlaceholder));
  }
}

function kept() {
  try {
    const found = localStorage.getItem(KEPT);
    return found in WORDS ? found : null;
  } catch {
    return null;
  }
}
