// The public page: how the groups are, and what happened to them lately.

import { h, render } from './dom.js';
import { lasted, moment, names, plural } from './format.js';

const POLL_MS = 15000;
const WORDS = { up: 'Available', degraded: 'Partly available', down: 'Not available' };
const LEVELS = { up: 'up', degraded: 'limited', down: 'down' };
const element = (id) => document.getElementById(id);

function draw({ groups, incidents }) {
  const down = groups.filter((group) => group.state === 'down');
  const part = groups.filter((group) => group.state === 'degraded');
  const level = down.length ? 'down' : part.length ? 'limited' : 'up';
  const text = down.length ? `${names(down.map((group) => group.name))} ${down.length === 1 ? 'is' : 'are'} not available`
    : part.length ? 'Everything answers, a part of it with limits' : 'Everything is available';
  element('verdict').className = `verdict is-${level}`;
  render(element('verdict'), h('span', { class: 'dot', 'aria-hidden': 'true' }), h('strong', {}, text));
  render(element('main'), h('div', { class: 'page' },
    h('h1', { class: 'visually-hidden' }, 'Status'),
    h('section', { class: 'card' }, h('h2', {}, plural(groups.length, 'model')),
      h('table', {}, h('caption', { class: 'visually-hidden' }, 'Models'),
        h('tbody', {}, groups.map((group) => h('tr', { 'data-key': group.name, class: `is-${LEVELS[group.state]}` },
          h('th', { scope: 'row' }, group.name),
          h('td', {}, h('span', { class: 'light' }, h('span', { class: 'dot', 'aria-hidden': 'true' }), WORDS[group.state]))))))),
    h('section', { class: 'card' }, h('h2', {}, 'Incidents'),
      incidents.length ? h('ul', { class: 'causes' }, incidents.map(incident)) : h('p', { class: 'quiet' }, 'None lately.'))));
}

function incident({ groups, since, ended }) {
  const began = Date.parse(since);
  const when = ended ? `${moment(began)}, for ${lasted((Date.parse(ended) - began) / 1000)}` : `since ${moment(began)}`;
  return h('li', {}, h('strong', {}, names(groups, 5)), ` not available, ${when}`);
}

async function read() {
  try {
    const answer = await fetch(new URL('status/data', document.baseURI), { cache: 'no-store', credentials: 'omit' });
    if (!answer.ok) throw new Error(String(answer.status));
    draw(await answer.json());
  } catch {
    element('verdict').className = 'verdict is-limited';
    render(element('verdict'), h('strong', {}, 'The gateway does not answer'));
  }
}

read();
setInterval(() => { if (!document.hidden) read(); }, POLL_MS);
