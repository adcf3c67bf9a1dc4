// Elements from data. Text is always text here: there is no way to make markup of it.

const SVG = 'http://www.w3.org/2000/svg';
const SVG_TAGS = new Set(['svg', 'path', 'rect', 'line', 'text', 'g', 'title', 'circle']);

/** An element. `props` are attributes; `false`, `null` and `undefined` leave one out, `true` sets it without a value. */
export function h(tag, props, ...children) {
  const node = SVG_TAGS.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(props || {})) {
    if (value === false || value === null || value === undefined) continue;
    node.setAttribute(name, value === true ? '' : String(value));
  }
  add(node, children);
  return node;
}

function add(node, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false || child === '') continue;
    if (Array.isArray(child)) add(node, child);
    else node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

// What the user changed stays: whether details are open, what a field holds.
const OWNED = { DETAILS: ['open'], INPUT: ['value', 'checked'], SELECT: ['value'], TEXTAREA: ['value'] };

/** Makes the children of `target` look like `wanted`, and keeps the nodes that are alike: focus, scrolling and fields stay. */
export function render(target, ...wanted) {
  const holder = document.createElement('div');
  add(holder, wanted);
  morphChildren(target, holder);
}

function keyOf(node) {
  return node.nodeType === 1 ? node.getAttribute('data-key') : null;
}

function isAlike(a, b) {
  return a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b);
}

function morphChildren(target, source) {
  const keyed = new Map();
  for (const child of target.children) {
    const key = keyOf(child);
    if (key) keyed.set(key, child);
  }
  let at = target.firstChild;
  for (const next of [...source.childNodes]) {
    const key = keyOf(next);
    let found = null;
    if (key && keyed.has(key) && isAlike(keyed.get(key), next)) found = keyed.get(key);
    else if (!key && at && !keyOf(at) && isAlike(at, next)) found = at;
    if (!found) {
      target.insertBefore(next, at);
      continue;
    }
    if (found !== at) target.insertBefore(found, at);
    else at = at.nextSibling;
    morph(found, next);
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

function morph(node, wanted) {
  if (node.nodeType !== 1) {
    if (node.data !== wanted.data) node.data = wanted.data;
    return;
  }
  const owned = OWNED[node.nodeName] || [];
  for (const { name } of [...node.attributes]) {
    if (!wanted.hasAttribute(name) && !owned.includes(name)) node.removeAttribute(name);
  }
  for (const { name, value } of wanted.attributes) {
    if (!owned.includes(name) && node.getAttribute(name) !== value) node.setAttribute(name, value);
  }
  if (node.nodeName !== 'TEXTAREA') morphChildren(node, wanted);
}

/** Calls back once something on the page with `data-act` is used. */
export function onAct(handle) {
  document.addEventListener('click', (event) => {
    const node = event.target instanceof Element ? event.target.closest('[data-act]') : null;
    if (node && !node.matches('form, input, select')) handle(node.dataset.act, node.dataset, event);
  });
  document.addEventListener('submit', (event) => {
    const form = event.target;
    event.preventDefault();
    if (form.dataset.act) handle(form.dataset.act, Object.fromEntries(new FormData(form)), event);
  });
  document.addEventListener('input', (event) => {
    const node = event.target;
    if (node.dataset && node.dataset.input) handle(node.dataset.input, { value: node.value }, event);
  });
}
