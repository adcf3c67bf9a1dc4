// What was spent over time, by key, team, user, customer, tag, model or provider; what one session cost; as CSV too.

import * as api from './api.js';
import { bars } from './chart.js';
import { save } from './csv.js';
import { h } from './dom.js';
import { count, none, percent, plural, usd } from './format.js';
import { attempt, problem, short, when } from './tenant.js';

export const title = 'Spend';
export const forHolders = true;

const SPANS = [[7, '7 days'], [30, '30 days'], [90, '90 days']];
const BY = [['key', 'key'], ['team', 'team'], ['user', 'user'], ['customer', 'customer'], ['tag', 'tag'], ['model', 'model'], ['provider', 'provider']];
/** By what a key sees its own. */
const OWN = ['key', 'model', 'provider'];
/** Names with a colour of their own in the picture. */
const COLOURS = 6;
const own = { days: 30, by: 'key', answer: null, session: null, sessionId: '', problem: null };

export async function load({ query }) {
  own.problem = null;
  if (query.by && BY.some(([by]) => by === query.by)) own.by = query.by;
  own.sessionId = query.session || '';
  own.session = null;
  if (own.sessionId) await attempt(own, async () => { own.session = await api.get(api.query('spend/session', { session_id: own.sessionId })); });
  await read();
}

async function read() {
  const { by, days } = own;
  const found = await attempt(own, () => api.get(api.query('ui/spend', { by, days })));
  if (own.by === by && own.days === days) own.answer = found;
}

export function view() {
  const kinds = api.session.sees_all ? BY : BY.filter(([by]) => OWN.includes(by));
  const choice = (label, act, all, now) => h('div', { class: 'choice', role: 'group', 'aria-label': label }, all.map(([value, text]) => h('button', {
    'data-act': act, 'data-value': value, 'aria-pressed': String(value === now),
  }, text)));
  return [
    h('div', { class: 'bar' }, h('h1', {}, 'Spend'), choice('Span', 'span', SPANS, own.days), own.answer && own.answer.names.length ? h('button', { 'data-act': 'csv' }, 'CSV') : null),
    h('div', { class: 'bar' }, choice('By', 'by', kinds, own.by)),
    problem(own.problem),
    own.answer === null ? (own.problem ? null : h('p', { class: 'quiet' }, 'Loading…')) : report(),
    h('form', { class: 'card search', 'data-act': 'session', 'data-key': `session ${own.sessionId}`, role: 'search', 'aria-label': 'A session' },
      h('div', {}, h('label', { for: 'session' }, 'What one session cost: its id'), h('input', { id: 'session', name: 'session', autocomplete: 'off', value: own.sessionId || null })),
      h('button', { type: 'submit' }, 'Look up')),
    own.session ? session(own.session) : null,
  ];
}

const nameOf = (one) => one.name || (one.id === 'litellm_proxy_master_key' ? 'the master key' : one.id) || 'none named';

/** Each day with its parts: the dearest by name, then the others. */
function points({ days, total, names }) {
  const shown = names.slice(0, COLOURS);
  return days.map((day) => {
    const all = total[day] ? total[day].spend : 0;
    const parts = Object.fromEntries(shown.map((one, at) => [`p-${at}`, one.days[day] || 0]));
    const rest = all - Object.values(parts).reduce((a, b) => a + b, 0);
    return { at: Date.parse(`${day}T00:00:00Z`), parts: { ...parts, 'p-rest': rest > 1e-9 ? rest : 0 } };
  });
}

function report() {
  const { answer } = own;
  const days = Object.values(answer.total);
  const sum = (what) => days.reduce((a, day) => a + day[what], 0);
  if (!answer.names.length) return h('p', { class: 'card quiet' }, 'Nothing was spent in this time, as far as is known. A request is counted some seconds after its end.');
  const width = Math.min(window.innerWidth, 1280) - (window.innerWidth > 860 ? 76 : 44);
  const drawn = points(answer);
  const shown = answer.names.slice(0, COLOURS);
  const rest = drawn.some((point) => point.parts['p-rest'] > 0);
  return [
    h('section', { class: 'card', 'data-key': 'picture' },
      h('div', { class: 'bar' }, h('h2', {}, `${usd(sum('spend'))} in ${plural(answer.days.length, 'day')}`), h('span', { class: 'quiet' }, `${plural(sum('requests'), 'request')}, ${count(sum('input_tokens'))} tokens in, ${count(sum('output_tokens'))} out`)),
      bars(drawn, { width, step: 86400000, label: `Spend of each day by ${own.by}`, shows: usd }),
      h('p', { class: 'legend' }, shown.map((one, at) => h('span', { class: `key p-${at}`, 'data-key': one.id }, h('bdi', {}, short(nameOf(one), 28)))), rest ? h('span', { class: 'key p-rest' }, 'others') : null)),
    h('section', { class: 'card', 'data-key': 'table' }, h('table', { class: 'members narrow' },
      h('caption', {}, `By ${own.by}, the dearest first${answer.has_more ? ': the first 100' : ''}`),
      h('thead', {}, h('tr', {}, ['Name', 'Spent', 'Share', 'Requests', 'Failed', 'Tokens in, out'].map((text) => h('th', { scope: 'col' }, text)))),
      h('tbody', {}, answer.names.map((one) => row(one, sum('spend')))))),
  ];
}

function row(one, total) {
  const link = { key: `#/keys?${new URLSearchParams({ key: one.id })}`, team: `#/teams?${new URLSearchParams({ id: one.id })}`, user: `#/users?${new URLSearchParams({ id: one.id })}` }[own.by];
  const name = h('bdi', {}, short(nameOf(one), 60));
  // A request without a key of its own has the master key, which has no page.
  const leads = link && one.name && api.session.sees_all;
  return h('tr', { 'data-key': one.id },
    h('td', { 'data-label': 'Name', class: 'name' }, leads ? h('a', { href: link }, name) : h('strong', {}, name)),
    h('td', { 'data-label': 'Spent' }, usd(one.spend)),
    h('td', { 'data-label': 'Share' }, total ? percent(one.spend / total) : none),
    h('td', { 'data-label': 'Requests' }, count(one.requests)), h('td', { 'data-label': 'Failed' }, one.requests ? percent(one.failed / one.requests) : none),
    h('td', { 'data-label': 'Tokens' }, `${count(one.input_tokens)} / ${count(one.output_tokens)}`));
}

function session(found) {
  if (!found.requests) return h('p', { class: 'card notice', role: 'alert', 'data-key': 'session-none' }, 'No request of that session is known.');
  return h('section', { class: 'card', 'data-key': 'session', 'aria-label': 'The session' },
    h('div', { class: 'bar' }, h('h2', {}, 'Session ', h('bdi', {}, short(found.session_id))), h('button', { 'data-act': 'session-csv' }, 'CSV')),
    h('dl', {}, [['Spent', usd(found.spend)], ['Requests', `${count(found.requests)}, ${count(found.failed)} failed, ${count(found.retries)} tried again`], ['Tokens', `${count(found.prompt_tokens)} in, ${count(found.completion_tokens)} out`],
      ['Models', Object.entries(found.models).sort((a, b) => b[1].spend - a[1].spend).slice(0, 20).map(([name, one]) => `${name}: ${usd(one.spend)}`).join(', ')]].map(([name, value]) => [h('dt', {}, name), h('dd', {}, value)])),
    h('table', { class: 'members narrow' },
      h('caption', {}, found.data.length > 100 || found.truncated ? 'Its first 100 requests' : 'Its requests'),
      h('thead', {}, h('tr', {}, ['Time', 'Model', 'Spent', 'Tokens in, out'].map((text) => h('th', { scope: 'col' }, text)))),
      h('tbody', {}, found.data.slice(0, 100).map((one) => h('tr', { 'data-key': one.request_id },
        h('td', { 'data-label': 'Time' }, when(one.startTime)), h('td', { 'data-label': 'Model' }, short(one.model_group || one.model || none)),
        h('td', { 'data-label': 'Spent' }, usd(one.spend)), h('td', { 'data-label': 'Tokens' }, `${count(one.prompt_tokens)} / ${count(one.completion_tokens)}`))))));
}

export const acts = {
  async span({ value }) {
    own.days = Number(value);
    await read();
  },
  async by({ value }) {
    own.by = value;
    own.answer = null;
    await read();
  },
  csv: () => attempt(own, async () => save(`hale-spend-by-${own.by}-${own.days}d.csv`, await api.text(api.query('ui/spend', { by: own.by, days: own.days, format: 'csv' })))),
  'session-csv': () => attempt(own, async () => save('hale-session.csv', await api.text(api.query('spend/session', { session_id: own.sessionId, format: 'csv' })))),
  session({ session: id }) { location.hash = id.trim() ? `#/spend?${new URLSearchParams({ session: id.trim() })}` : '#/spend'; },
};
