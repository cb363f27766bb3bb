// The Markdown that runbooks are written in, as elements: headings, lists, tables, code, links.

import { el, outside } from './dom.js';

const INLINE = /`([^`]+)`|\*\*([^*]+)\*\*|\*([^*]+)\*|\[([^\]]+)\]\(([^)\s]+)\)/;

export function markdown(text) {
  const lines = text.replace(/\r/g, '').split('\n');
  const found = [];
  while (lines.length) {
    const block = next(lines);
    if (block) found.push(block);
  }
  return found;
}

/** Takes the next block off the lines. */
function next(lines) {
  const line = lines.shift();
  if (!line.trim()) return null;
  if (line.startsWith('```')) return code(lines);
  const heading = /^(#{1,4})\s+(.*)$/.exec(line);
  if (heading) return el(`h${Math.min(heading[1].length + 1, 5)}`, {}, inline(heading[2]));
  if (line.startsWith('|')) return table([line, ...while_(lines, (one) => one.startsWith('|'))]);
  const item = /^(\s*)([-*]|\d+\.)\s+/.exec(line);
  if (item) return list(line, lines, item);
  const rest = while_(lines, (one) => one.trim() && !/^(#{1,4}\s|```|\||\s*([-*]|\d+\.)\s)/.test(one));
  return el('p', {}, inline([line, ...rest].join(' ')));
}

function code(lines) {
  const held = while_(lines, (one) => !one.startsWith('```'));
  lines.shift();
  return el('pre', {}, el('code', { text: held.join('\n') }));
}

/** Items with what is indented below each; a list within an item included. */
function list(first, lines, [mark, indent, sign]) {
  const margin = indent.length;
  const items = [[first.slice(mark.length)]];
  const starts = (one) => {
    const found = /^(\s*)([-*]|\d+\.)\s+/.exec(one);
    return found && found[1].length === margin ? found[0].length : 0;
  };
  while (lines.length) {
    const length = starts(lines[0]);
    const inside = /^\s/.test(lines[0]) && lines[0].search(/\S/) > margin;
    const between = !lines[0].trim() && lines[1] && (starts(lines[1]) || lines[1].search(/\S/) > margin);
    if (length) items.push([lines.shift().slice(length)]);
    else if (inside) items.at(-1).push(lines.shift().slice(mark.length));
    else if (between) items.at(-1).push(lines.shift());
    else break;
  }
  const tag = /\d/.test(sign) ? 'ol' : 'ul';
  return el(tag, {}, items.map((item) => el('li', {}, markdown(item.join('\n')))));
}

function table(rows) {
  const cells = (row) => row.replace(/^\||\|\s*$/g, '').split('|').map((cell) => cell.trim());
  const [head, , ...body] = rows;
  const row = (tag) => (one) => el('tr', {}, cells(one).map((cell) => el(tag, {}, inline(cell))));
  return el('table', {}, el('thead', {}, row('th')(head)), el('tbody', {}, body.map(row('td'))));
}

function inline(text) {
  const found = INLINE.exec(text);
  if (!found) return text ? [text] : [];
  const [all, quoted, strong, slanted, label, address] = found;
  let made;
  if (quoted !== undefined) made = el('code', { text: quoted });
  else if (strong !== undefined) made = el('strong', {}, inline(strong));
  else if (slanted !== undefined) made = el('em', {}, inline(slanted));
  else made = link(label, address);
  return [text.slice(0, found.index), made, ...inline(text.slice(found.index + all.length))];
}

/** A link to another runbook opens it here; one to a file of the repository is only named. */
function link(label, address) {
  const runbook = /^(?:\.\/)?([a-z][a-z0-9-]*?)(?:\.ko)?\.md(?:#.*)?$/.exec(address);
  if (runbook) return el('a', { href: `#runbook=${runbook[1]}`, text: label });
  return outside(address, label);
}

function while_(lines, holds) {
  const taken = [];
  while (lines.length && holds(lines[0])) taken.push(lines.shift());
  return taken;
}
