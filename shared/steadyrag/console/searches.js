// The tab of recorded searches, the newest first.

import { badge, cached, rung } from './badges.js';
import { copied } from './answer.js';
import { byId, el, fill, pairs } from './dom.js';
import { sayings } from './feedback.js';
import { t } from './languages.js';
import { clock, dollars, milliseconds, number, score } from './numbers.js';
import * as server from './server.js';
import { waterfall } from './waterfall.js';

let found = [];
let wanted = null;
let trouble = null;

export function begin() {
  byId('only-failed').addEventListener('change', load);
  byId('refresh').addEventListener('click', load);
}

/** `id` is the search that a link names. */
export async function show(id = null) {
  wanted = id;
  await load();
  if (wanted) byId(`search-${wanted}`)?.scrollIntoView({ block: 'start' });
}

export function hide() {}

export function render() {
  const failed = byId('only-failed').checked;
  const empty = t(failed ? 'none_failed' : 'none_yet');
  const listed = found.length ? t('listed', { count: found.length }) : empty;
  fill(byId('searches-told'), trouble ?? listed);
  fill(byId('searches-list'), found.map(entry));
}

async function load() {
  trouble = null;
  try {
    const failed = byId('only-failed').checked ? '?failed=true' : '';
    found = (await server.get(`searches${failed}`)).searches;
    if (wanted && !found.some((one) => one.search_id === wanted)) {
      found = [await server.get(`searches/${encodeURIComponent(wanted)}`), ...found];
    }
  } catch (error) {
    const unknown = wanted && error.status === 404;
    trouble = unknown ? t('unknown_search', { id: wanted }) : error.message || t('failed_unreached');
  }
  render();
}

function entry(search) {
  const best = search.results[0]?.score;
  return el(
    'li',
    { class: 'search', id: `search-${search.search_id}` },
    el(
      'details',
      {
        open: search.search_id === wanted,
        on: { toggle: (event) => event.target.open && link(search.search_id) },
      },
      el(
        'summary',
        {},
        badge(search.mode),
        el('span', { class: 'query', text: search.query || t('no_input') }),
        el('span', { class: 'small', text: clock(search.at) }),
        el('span', { class: 'small', text: milliseconds(search.total_ms) }),
        best != null && el('span', { class: 'small', text: score(best) }),
        search.feedback.length > 0 && el('span', { class: 'small', text: t('feedback_given') }),
      ),
      details(search),
    ),
  );
}

/** Puts the search into the address, so that it can be passed on. */
function link(id) {
  history.replaceState(null, '', `#search=${encodeURIComponent(id)}`);
}

function details(search) {
  const { usage } = search;
  const tokens = {
    embedding: number(usage.embedding_tokens),
    prompt: number(usage.prompt_tokens),
    completion: number(usage.completion_tokens),
  };
  const said = sayings(search.feedback);
  return el(
    'div',
    { class: 'search-details' },
    search.mode && rung(search.mode, search.degraded),
    pairs([
      [t('input'), search.query || t('no_input')],
      [t('error'), search.error],
      [t('answer'), search.answer],
      [t('asked_at'), clock(search.at)],
      [t('namespace'), search.namespace],
      [t('language'), search.language],
      [t('cache'), cached(search.cache)],
      [t('model'), search.model],
      [t('variant'), search.variant],
      [t('tokens'), t('tokens_of', tokens)],
      [t('cost'), dollars(usage.cost_usd)],
      [t('search_id'), copied(search.search_id)],
      [t('request_id'), search.request_id],
      [t('trace_id'), search.trace_id],
    ]),
    search.stages.length > 0 && waterfall(search.stages, search.total_ms),
    search.results.length > 0 && results(search),
    el('h3', { text: t('feedback_given') }),
    said.length
      ? el('ul', {}, said.map((one) => el('li', { text: one })))
      : el('p', { class: 'told', text: t('no_feedback') }),
    el('p', { class: 'told', text: t('redacted') }),
  );
}

function results({ results: all, calibrated }) {
  const told = calibrated ? 'relevance' : 'uncalibrated';
  const row = (result) =>
    el(
      'li',
      {},
      el('code', { text: result.document_id }),
      ` ${t(told, { score: score(result.score) })}`,
    );
  return el('div', {}, el('h3', { text: t('results') }), el('ol', {}, all.map(row)));
}
