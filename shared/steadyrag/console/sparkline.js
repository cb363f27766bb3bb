// A figure over the last hour, with its goal and its alarm as lines.

import { svg } from './dom.js';

const WIDTH = 240;
const HEIGHT = 56;
const EDGE = 4;

/** `points` are oldest first, null where there was nothing to tell; `label` says in words what
 * the picture shows. */
export function sparkline(points, { goal, alarm, label }) {
  const known = points.filter((point) => point !== null);
  const most = Math.max(...known, goal ?? 0, alarm ?? 0) * 1.05 || 1;
  const x = (place) => EDGE + (place / (points.length - 1)) * (WIDTH - 2 * EDGE);
  const y = (value) => HEIGHT - EDGE - (value / most) * (HEIGHT - 2 * EDGE);
  const line = (value, class_) =>
    value != null && svg('line', { class: class_, x1: 0, x2: WIDTH, y1: y(value), y2: y(value) });
  return svg(
    'svg',
    {
      class: 'sparkline',
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      preserveAspectRatio: 'none',
      role: 'img',
      'aria-label': label,
    },
    line(goal, 'goal'),
    line(alarm, 'alarm'),
    runs(points).map((run) =>
      run.length === 1
        ? svg('circle', { cx: x(run[0]), cy: y(points[run[0]]), r: 2.5 })
        : svg('polyline', {
            points: run.map((place) => `${x(place)},${y(points[place])}`).join(' '),
          }),
    ),
  );
}

/** Places of points that follow each other without a gap. */
function runs(points) {
  const found = [];
  points.forEach((point, place) => {
    if (point === null) return;
    if (place > 0 && points[place - 1] !== null) found.at(-1).push(place);
    else found.push([place]);
  });
  return found;
}
