// The runbook of an alarm, over the page.

import { byId, fill } from './dom.js';
import { current, t } from './languages.js';
import { markdown } from './markdown.js';
import * as server from './server.js';

/** Its heading, which is its name, and the link to the other language, which has a switch. */
const TITLE = /^# .*\n\s*(?:\*\[[^\]]+\]\([^)]+\)\*\s*\n)?/;

/** `closed` is called when the person is done with it. */
export function begin(closed) {
  byId('runbook').addEventListener('close', closed);
}

export async function open(name) {
  let text;
  try {
    text = (await server.get(`runbooks/${encodeURIComponent(name)}?language=${current()}`)).text;
  } catch (error) {
    text = error.message || t('failed_unreached');
  }
  fill(byId('runbook-title'), name);
  fill(byId('runbook-text'), markdown(text.replace(TITLE, '')));
  if (!byId('runbook').open) byId('runbook').showModal();
}
