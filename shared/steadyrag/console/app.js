// Tabs, addresses, and the switches for language and theme.

import * as ask from './ask.js';
import { byId, fill } from './dom.js';
import * as health from './health.js';
import * as languages from './languages.js';
import { t } from './languages.js';
import * as runbook from './runbook.js';
import * as searches from './searches.js';
import * as theme from './theme.js';

const TABS = { ask, searches, health };
const NAMES = Object.keys(TABS);

let open = null;

/** What the address asks for: `#health`, `#search=<id>`, `#runbook=<name>`. */
function follow() {
  const [name, value] = location.hash.slice(1).split('=', 2);
  const named = value && decoded(value);
  if (name === 'search' && named) return select('searches', named);
  if (name === 'runbook' && named) {
    if (open !== 'health') select('health');
    return runbook.open(named);
  }
  return select(NAMES.includes(name) ? name : 'ask');
}

function decoded(value) {
  try {
    return decodeURIComponent(value);
  } catch {
    return null;
  }
}

function select(name, argument) {
  if (open && open !== name) TABS[open].hide();
  open = name;
  for (const other of NAMES) {
    const chosen = other === name;
    const tab = byId(`tab-${other}`);
    tab.setAttribute('aria-selected', String(chosen));
    tab.tabIndex = chosen ? 0 : -1;
    byId(other).hidden = !chosen;
  }
  return TABS[name].show(argument);
}

function choose(name) {
  if (location.hash === `#${name}`) select(name);
  else location.hash = name;
}

function onTabKey(event) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  const ends = { Home: 0, End: NAMES.length - 1 }[event.key];
  if (step === undefined && ends === undefined) return;
  event.preventDefault();
  const place = ends ?? (NAMES.indexOf(open) + step + NAMES.length) % NAMES.length;
  choose(NAMES[place]);
  byId(`tab-${NAMES[place]}`).focus();
}

function speak() {
  fill(byId('language'), t('other_language'));
  byId('language').lang = languages.other();
  showTheme();
  for (const tab of Object.values(TABS)) tab.render();
}

function showTheme() {
  fill(byId('theme'), t(theme.current() === 'dark' ? 'light' : 'dark'));
}

theme.begin(showTheme);
languages.label();
byId('language').addEventListener('click', () => {
  languages.speak(languages.other());
  speak();
});
byId('theme').addEventListener('click', () => {
  theme.choose(theme.current() === 'dark' ? 'light' : 'dark');
  showTheme();
});
byId('skip').addEventListener('click', (event) => {
  event.preventDefault(); // the address names a tab
  byId('main').focus();
});
byId('tabs').addEventListener('keydown', onTabKey);
for (const name of NAMES) byId(`tab-${name}`).addEventListener('click', () => choose(name));
for (const tab of Object.values(TABS)) tab.begin();
runbook.begin(() => choose('health'));
addEventListener('hashchange', follow);
speak();
follow();
if (open === 'ask') byId('question').focus();
