// Stages of a search over time. They run side by side, so each has its own start.

import { el, pairs } from './dom.js';
import { known, t } from './languages.js';
import { dollars, milliseconds, number } from './numbers.js';

/** `stages` as the record has them; the whole width is `totalMs`. */
export function waterfall(stages, totalMs) {
  const ends = stages.map((stage) => stage.start_ms + stage.duration_ms);
  const whole = Math.max(totalMs, ...ends, 0.001);
  const ordered = [...stages].sort(
    (a, b) => a.start_ms - b.start_ms || b.duration_ms - a.duration_ms,
  );
  return el(
    'figure',
    { class: 'waterfall' },
    el('figcaption', { text: t('stages') }),
    el(
      'ol',
      { class: 'plain' },
      ordered.map((stage) => row(stage, whole)),
    ),
    axis(whole),
  );
}

export const stageName = (name) => known(`stage_${name}`) ?? name;

function row(stage, whole) {
  const bar = el('span', { class: 'bar' });
  bar.style.left = `${(stage.start_ms / whole) * 100}%`;
  bar.style.width = `${(stage.duration_ms / whole) * 100}%`;
  const took = milliseconds(stage.duration_ms);
  return el(
    'li',
    { class: stage.lost ? 'stage lost' : 'stage', tabindex: '0', data: { stage: stage.name } },
    el('span', { class: 'name', text: stageName(stage.name) }),
    el('span', { class: 'track', 'aria-hidden': 'true' }, bar),
    el('span', { class: 'took', text: stage.lost ? t('lost_after', { took }) : took }),
    pairs(facts(stage), 'facts'),
  );
}

function facts(stage) {
  const told = Object.entries(stage.facts).map(([name, value]) => [
    known(`fact_${name}`) ?? name,
    shown(name, value),
  ]);
  return [
    [t('starts_at'), milliseconds(stage.start_ms)],
    [t('takes'), milliseconds(stage.duration_ms)],
    ...told,
  ];
}

function shown(name, value) {
  if (name === 'cost_usd') return dollars(value);
  if (typeof value === 'boolean') return t(value ? 'yes' : 'no');
  return typeof value === 'number' ? number(value, 3) : String(value);
}

function axis(whole) {
  const marks = [0, 0.25, 0.5, 0.75, 1].map((share) =>
    el('span', { text: milliseconds(whole * share) }),
  );
  return el('div', { class: 'axis', 'aria-hidden': 'true' }, marks);
}
