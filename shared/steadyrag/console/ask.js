// The tab where questions are asked.

import { facts, sources, text } from './answer.js';
import { rung } from './badges.js';
import { byId, el, fill, pairs } from './dom.js';
import { Feedback } from './feedback.js';
import { t } from './languages.js';
import { milliseconds } from './numbers.js';
import * as server from './server.js';
import { waterfall } from './waterfall.js';

/** What was asked last, and what came of it: an answer, or what it failed for. */
let shown = null;
let asked = 0;

export function begin() {
  const form = byId('question-form');
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    ask(question());
  });
  byId('question').addEventListener('keydown', (event) => {
    // While a Korean syllable is put together, Enter only ends it.
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });
}

export function show() {}

export function hide() {}

export function render() {
  if (!shown) return;
  if (shown.failed) fill(byId('outcome'), failure(shown));
  else fill(byId('outcome'), ...outcome(shown));
}

function question() {
  return {
    query: byId('question').value,
    top_k: Number(byId('top-k').value),
    namespace: byId('namespace').value,
    generate: byId('generate').checked,
  };
}

async function ask(body) {
  asked += 1;
  const turn = asked;
  const fresh = byId('fresh').checked;
  byId('outcome').setAttribute('aria-busy', 'true');
  tell(t('asking'));
  let found;
  try {
    const result = await server.search(body, { fresh });
    const feedback = new Feedback(result.answer.search_id);
    found = { ...result, feedback };
  } catch (error) {
    found = { body, failed: error };
  }
  if (turn !== asked) return; // a later question has been asked meanwhile
  shown = found;
  byId('outcome').removeAttribute('aria-busy');
  tell(told(shown));
  render();
  if (shown.failed) return;
  const record = await server.recorded(shown.answer.search_id).catch(() => null);
  if (turn !== asked) return;
  shown.record = record;
  fill(byId('record'), recordOf(shown));
}

function told({ answer, failed, serverMs, roundTripMs }) {
  if (failed) return t('failed_title');
  const took = milliseconds(serverMs ?? roundTripMs);
  const mode = t(`mode_${answer.mode}`);
  return t('answered', { took, mode, sources: answer.sources.length });
}

function tell(words) {
  fill(byId('told'), words);
}

function outcome(result) {
  const { answer, feedback } = result;
  return [
    rung(answer.mode, answer.degraded),
    el('div', { 'aria-live': 'polite' }, text(answer)),
    feedback.element(),
    el('div', { id: 'record' }, recordOf(result)),
    facts(result),
    sources(answer, (rank) => feedback.opened(rank)),
  ];
}

function recordOf({ record }) {
  if (record === undefined) return null;
  if (record === null) return el('p', { class: 'told', text: t('no_record') });
  return waterfall(record.stages, record.total_ms);
}

function failure({ body, failed }) {
  return el(
    'div',
    { class: 'failure', role: 'alert' },
    el('h2', { text: t('failed_title') }),
    el('p', {
      class: 'why',
      text: failed.status ? failed.message : t('failed_unreached'),
    }),
    pairs([
      [t('failed_input'), body.query],
      [t('error'), failed.status ? t('failed_status', { status: failed.status }) : null],
      [t('request_id'), failed.requestId],
    ]),
  );
}
