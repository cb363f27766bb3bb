// The tab that says how the service is doing: figures against goals, and the alarms.

import { byId, el, fill } from './dom.js';
import { t } from './languages.js';
import { clock, dollars, milliseconds, number, percent, score } from './numbers.js';
import * as server from './server.js';
import { sparkline } from './sparkline.js';

const EVERY_MS = 5000;

let metrics = null;
let watched = null;
let trouble = null;
let timer = null;

export function begin() {
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden && timer) load();
  });
}

export async function show() {
  timer ??= setInterval(() => document.hidden || load(), EVERY_MS);
  await load();
}

export function hide() {
  clearInterval(timer);
  timer = null;
}

export function render() {
  if (trouble) fill(byId('health-told'), t('not_refreshed', { why: trouble }));
  if (!metrics) return;
  if (!trouble) fill(byId('health-told'), summary(metrics));
  fill(byId('goals'), metrics.goals.map((goal) => card(goal, metrics)));
  fill(byId('alarms-told'), t(watched.read ? 'alarms_note' : 'no_alarms'));
  const focused = document.activeElement?.closest?.('#alarms li')?.id;
  fill(byId('alarms'), ordered(watched.alarms).map(alarm));
  if (focused) byId(focused)?.querySelector('a')?.focus();
}

async function load() {
  try {
    [metrics, watched] = await Promise.all([server.get('metrics'), server.get('alarms')]);
    trouble = null;
  } catch (error) {
    trouble = error.message || t('failed_unreached');
  }
  render();
}

function summary({ began, answers, recent_minutes: minutes }) {
  const counts = { answers: number(answers.whole), recent: number(answers.recent), minutes };
  return t('watching', { began: clock(began), ...counts });
}

/** How each unit is written. */
const WRITTEN = {
  ms: milliseconds,
  share: percent,
  score,
  usd_per_day: (value) => t('a_day', { value: dollars(value) }),
  per_hour: (value) => t('an_hour', { value: number(value) }),
};

function card(goal, { answers, recent_minutes: minutes, since, began, at }) {
  const write = (value) => (value == null ? '–' : WRITTEN[goal.unit](value));
  const verdict = judged(goal, answers);
  const lower = goal.better === 'lower';
  const whole =
    since > began + 60
      ? t('last_hours', { hours: number((at - since) / 3600) })
      : t('since_start');
  const name = t(`goal_${goal.key}`);
  return el(
    'article',
    { class: `card ${verdict}`, data: { goal: goal.key } },
    el('h3', { text: name }),
    el(
      'p',
      { class: 'figure' },
      el('strong', { text: write(goal.recent) }),
      ' ',
      el('span', { class: 'small', text: t('last_minutes', { minutes }) }),
    ),
    el('p', { class: 'small', text: `${write(goal.whole)} ${whole}` }),
    sparkline(goal.points, { ...goal, label: `${name}. ${t('last_hour')}` }),
    el(
      'p',
      { class: 'small lines' },
      goal.goal != null &&
        el('span', {
          class: 'goal',
          text: t(lower ? 'goal_below' : 'goal_above', { value: write(goal.goal) }),
        }),
      goal.alarm != null &&
        el('span', {
          class: 'alarm',
          text: t(lower ? 'alarm_above' : 'alarm_below', { value: write(goal.alarm) }),
        }),
    ),
    verdict !== 'unjudged' && el('p', { class: 'verdict', text: t(`judged_${verdict}`) }),
  );
}

/** A share of fewer answers says nothing. */
const ENOUGH = 10;

function judged({ recent, whole, goal, alarm, better }, answers) {
  if (goal == null && alarm == null) return 'unjudged';
  const value = answers.recent >= ENOUGH ? recent : whole;
  if (answers.whole < ENOUGH || value == null) return 'few';
  const past = (line) => line != null && (better === 'lower' ? value > line : value < line);
  if (past(alarm)) return 'alarm';
  return past(goal) ? 'missed' : 'ok';
}

/** Those that fire first, those that can't know last. */
function ordered(alarms) {
  const place = (one) => ['ALARM', 'INSUFFICIENT_DATA', 'OK', 'no_data'].indexOf(stateOf(one));
  return [...alarms].sort((a, b) => place(a) - place(b) || a.name.localeCompare(b.name));
}

const stateOf = (one) => (one.needs.length || one.too_early ? 'no_data' : one.state);

function alarm(one) {
  const state = stateOf(one);
  const said = one.description.split('Runbook:')[0].trim();
  return el(
    'li',
    { class: `alarm-row ${state}`, id: `alarm-${one.name}`, data: { state } },
    el('span', { class: 'state', text: t(`state_${state}`) }),
    el('strong', { text: one.name }),
    one.tells.map((who) => el('span', { class: 'small', text: t(`tells_${who}`) })),
    one.runbook && el('a', { href: `#runbook=${one.name}`, text: t('runbook') }),
    said && el('span', { class: 'said', text: said }),
    el('span', { class: 'small said', text: reason(one, state) }),
  );
}

function reason(one, state) {
  const since = t('since', { when: clock(one.since) });
  if (one.needs.length) return t('needs', { metrics: one.needs.join(', ') });
  if (one.too_early) return t('too_early');
  return one.reason ? `${since}: ${one.reason}` : since;
}
