// Elements from values. Text only ever becomes text: documents are hostile input.

/** A new element. `with_` holds its properties (`text`, `class`, `on`, `data`) and attributes. */
export function el(tag, with_ = {}, ...children) {
  return dressed(document.createElement(tag), with_, children);
}

export function svg(tag, with_ = {}, ...children) {
  return dressed(document.createElementNS('http://www.w3.org/2000/svg', tag), with_, children);
}

export const byId = (id) => document.getElementById(id);

/** Replaces what is in an element; what is null or false is left out. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat().filter((child) => child != null && child !== false));
}

/** A list of names and values, without those that are null. */
export function pairs(rows, class_ = 'pairs') {
  return el(
    'dl',
    { class: class_ },
    rows
      .filter(([, value]) => value != null)
      .map(([name, value]) => el('div', {}, el('dt', { text: name }), el('dd', {}, value))),
  );
}

/** A link to another site, where the address is one that a browser may follow. */
export function outside(address, text) {
  let url;
  try {
    url = new URL(address);
  } catch {
    return el('span', { text });
  }
  if (!['http:', 'https:'].includes(url.protocol)) return el('span', { text });
  return el('a', { href: url.href, target: '_blank', rel: 'noopener noreferrer', text });
}

function dressed(element, { text, class: class_, on = {}, data = {}, ...attributes }, children) {
  if (class_) element.setAttribute('class', class_);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, '');
    else if (value != null && value !== false) element.setAttribute(name, value);
  }
  for (const [name, value] of Object.entries(data)) element.dataset[name] = value;
  for (const [event, listener] of Object.entries(on)) element.addEventListener(event, listener);
  if (text != null) element.textContent = text;
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}
