// An answer with its citations, and the sources they lead to.

import { cached } from './badges.js';
import { byId, el, outside, pairs } from './dom.js';
import { t } from './languages.js';
import { dollars, milliseconds, number, score } from './numbers.js';

/** The answer's text; `[n]` becomes a button that shows source n. */
export function text(answer) {
  if (answer.answer == null) return el('p', { class: 'answer', text: t('no_answer_wanted') });
  const parts = answer.answer.split(/\[(\d{1,3})\]/);
  return el(
    'p',
    { class: 'answer' },
    parts.map((part, place) => (place % 2 ? citation(Number(part), answer.sources) : part)),
  );
}

/** `opened` is told the rank of a source that was opened. */
export function sources(answer, opened) {
  if (answer.sources.length === 0) return el('p', { class: 'told', text: t('no_sources') });
  return el(
    'section',
    { 'aria-label': t('sources') },
    el('h2', { text: t('sources') }),
    el(
      'ol',
      { class: 'plain sources' },
      answer.sources.map((source) => card(source, answer.calibrated, opened)),
    ),
  );
}

export function facts({ answer, serverMs, roundTripMs }) {
  const usage = answer.usage;
  const tokens = {
    embedding: number(usage.embedding_tokens),
    prompt: number(usage.prompt_tokens),
    completion: number(usage.completion_tokens),
  };
  return pairs([
    [t('server_timing'), milliseconds(serverMs)],
    [t('round_trip'), milliseconds(roundTripMs)],
    [t('cache'), cached(answer.cache)],
    [t('model'), answer.model],
    [t('tokens'), t('tokens_of', tokens)],
    [t('cost'), dollars(usage.cost_usd)],
    [t('search_id'), copied(answer.search_id)],
  ]);
}

function citation(n, all) {
  if (!all.some((source) => source.rank === n)) return `[${n}]`;
  return el('button', {
    type: 'button',
    class: 'cite',
    'aria-label': t('source', { n }),
    data: { cites: n },
    text: `[${n}]`,
    on: { click: () => light(n) },
  });
}

/** Scrolls to a source, and marks it and no other. */
function light(n) {
  for (const lit of document.querySelectorAll('.source.lit')) lit.classList.remove('lit');
  const source = byId(`source-${n}`);
  source.classList.add('lit');
  const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
  source.scrollIntoView({ block: 'center', behavior: still ? 'auto' : 'smooth' });
  source.focus({ preventScroll: true });
}

function card(source, calibrated, opened) {
  const relevance = { score: score(source.score) };
  const body = el(
    'div',
    { class: 'source-text' },
    el('p', { text: source.text }),
    source.url &&
      el('p', { on: { click: () => opened(source.rank) } }, outside(source.url, source.url)),
  );
  return el(
    'li',
    { class: 'source', id: `source-${source.rank}`, tabindex: '-1' },
    el(
      'details',
      { on: { toggle: (event) => event.target.open && opened(source.rank) } },
      el(
        'summary',
        {},
        el('span', { class: 'rank', text: `[${source.rank}]` }),
        el('span', { class: 'source-title', text: source.title || source.document_id }),
        el('span', {
          class: 'score',
          text: t(calibrated ? 'relevance' : 'uncalibrated', relevance),
        }),
        el('span', { class: 'document', text: source.document_id }),
        el('span', { class: 'preview', text: source.text.slice(0, 240) }),
      ),
      body,
    ),
  );
}

export function copied(value) {
  const button = el('button', {
    type: 'button',
    class: 'quiet small',
    text: t('copy'),
    on: {
      click: async () => {
        try {
          await navigator.clipboard.writeText(value);
          button.textContent = t('copied');
        } catch {
          button.textContent = t('not_copied');
        }
      },
    },
  });
  return el('span', {}, el('code', { text: value }), ' ', button);
}
