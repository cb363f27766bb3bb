// A rung of the fallback ladder in plain words.

import { el } from './dom.js';
import { t } from './languages.js';
import { duration } from './numbers.js';
import { stageName } from './waterfall.js';

export const badge = (mode) =>
  el('span', {
    class: `badge ${mode ?? 'failed'}`,
    data: { mode: mode ?? 'failed' },
    text: mode ? t(`mode_${mode}`) : t('failed'),
  });

/** The rung, what it means, and which stages were lost. */
export function rung(mode, degraded) {
  return el(
    'div',
    { class: 'rung' },
    badge(mode),
    el('span', { text: t(`why_${mode}`) }),
    degraded.length > 0 &&
      el('span', { class: 'lost-stages' }, `${t('lost')} ${degraded.map(stageName).join(', ')}`),
  );
}

export function cached(cache) {
  if (cache.tier === 'flight') return t('cache_joined');
  const age = duration(cache.age_s ?? 0);
  return t(`cache_${cache.status}`, { tier: cache.tier ?? '', age });
}
