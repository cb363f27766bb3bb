// Figures for people, in the page's language.

import { current, t } from './languages.js';

export function milliseconds(ms) {
  if (ms == null) return '–';
  if (ms >= 10_000) return `${number(ms / 1000, 1)} s`;
  return `${number(ms, ms < 10 ? 1 : 0)} ms`;
}

export function dollars(usd) {
  if (usd == null) return t('no_price');
  if (usd === 0) return '$0';
  return `$${number(usd, usd < 0.01 ? 6 : usd < 1 ? 4 : 2)}`;
}

export function number(value, digits = 0) {
  return new Intl.NumberFormat(current(), { maximumFractionDigits: digits }).format(value);
}

/** A relevance from 0 to 1. */
export const score = (value) => value.toFixed(2);

export const percent = (share) => `${number(share * 100, share < 0.01 ? 2 : 1)} %`;

export function clock(seconds) {
  return new Intl.DateTimeFormat(current(), { dateStyle: 'short', timeStyle: 'medium' }).format(
    seconds * 1000,
  );
}

/** How long that is, in its largest unit. */
export function duration(seconds) {
  const [unit, size] = [
    ['day', 86_400],
    ['hour', 3600],
    ['minute', 60],
    ['second', 1],
  ].find(([, size]) => seconds >= size) ?? ['second', 1];
  const style = { style: 'unit', unit, unitDisplay: 'long' };
  return new Intl.NumberFormat(current(), style).format(Math.max(0, Math.round(seconds / size)));
}
