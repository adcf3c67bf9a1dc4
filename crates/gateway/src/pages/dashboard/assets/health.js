// The first page: what is broken, since when, who is affected and what to do; then every group with its deployments.

import * as api from './api.js';
import { confirm, toast } from './ask.js';
import { strip, uptime } from './chart.js';
import { h } from './dom.js';
import { ago, cause, count, lasted, moment, ms, names, none, percent, plural } from './format.js';
import { isServed, rescuers, shownGroups, troubles } from './judge.js';
import { readPast, spellsOf } from './past.js';

export const title = 'Health';

const HISTORY_MS = 30000;
/** Groups that are drawn at once. */
const GROUPS = 60;
/** Deployments of a group that are drawn at once. */
const MEMBERS = 25;
/** Troubles that have a card of their own; beyond them the rows say what to do. */
const CARDS = 12;

const own = { hours: 24, filter: '', history: null, readAt: 0, groups: GROUPS, wide: new Set() };

const LIGHTS = { up: 'Up', limited: 'Limited', down: 'Down', off: 'Off', unknown: 'Not probed' };
const STATES = {
  cooldown: 'in cooldown', trial: 'half-open', reopening: 'reopening', unhealthy: 'probes fail', over_budget: 'over budget',
  reserved: 'reserved', disabled: 'disabled', paused: 'paused', misconfigured: 'misconfigured', ready: '',
};

export async function load() {
  await readHistory();
}

export async function refresh() {
  if (Date.now() - own.readAt > HISTORY_MS) await readHistory();
}

async function readHistory() {
  own.readAt = Date.now();
  own.history = await readPast(own.hours);
}

export function view({ overview }) {
  if (!overview) return h('p', { class: 'quiet' }, 'Loading…');
  const wanted = own.filter.trim().toLowerCase();
  const groups = shownGroups(overview)
    .filter((group) => !wanted || matches(group, wanted))
    .map((group) => ({ group, rank: rankOf(group) }))
    .sort((a, b) => a.rank - b.rank);
  const tells = troubles(overview).length > CARDS;
  return [
    h('h1', { class: 'visually-hidden' }, 'Health'),
    problems(overview),
    h('div', { class: 'bar' },
      h('h2', {}, 'Model groups'),
      h('label', { class: 'visually-hidden', for: 'filter' }, 'Filter by name, model, provider or state'),
      h('input', { id: 'filter', type: 'search', placeholder: 'Filter by name, provider, state', 'data-input': 'filter' }),
      h('div', { class: 'choice', role: 'group', 'aria-label': 'Span of the strips' }, [[24, '24 h'], [720, '30 days']].map(([hours, text]) => h('button', {
        'data-act': 'span', 'data-hours': hours, 'aria-pressed': String(own.hours === hours),
      }, text)))),
    overview.groups.length ? null : empty(),
    groups.length || !overview.groups.length ? null : h('p', { class: 'card quiet' }, 'No group matches the filter.'),
    groups.slice(0, own.groups).map(({ group }) => groupCard(group, overview, tells)),
    groups.length > own.groups ? h('button', { 'data-act': 'more' }, `Show ${Math.min(GROUPS, groups.length - own.groups)} more of ${groups.length} groups`) : null,
  ];
}

function empty() {
  return h('div', { class: 'card' }, h('h3', {}, 'No deployments'), h('p', {}, 'Add one to ', h('code', {}, 'model_list'), ' in the config. It is read again when it changes.'));
}

const matches = (group, wanted) => group.name.toLowerCase().includes(wanted)
  || group.deployments.some((one) => [one.name, one.model, one.provider, one.state, LIGHTS[one.light], one.cause || '']
    .some((text) => text.toLowerCase().includes(wanted)));

function rankOf(group) {
  if (!isServed(group)) return 0;
  if (group.deployments.some((one) => one.light === 'down')) return 1;
  return group.deployments.some((one) => one.light === 'limited') ? 2 : 3;
}

// --- What is wrong

function problems(overview) {
  const all = troubles(overview);
  if (!all.length) return null;
  return h('section', { class: 'problems', 'aria-label': 'What is wrong' }, all.slice(0, CARDS).map((trouble) => problem(trouble, overview)),
    all.length > CARDS ? h('p', { class: 'quiet' }, `${all.length - CARDS} more below.`) : null);
}

function problem(trouble, overview) {
  const { rows } = trouble;
  const first = rows[0].one;
  const groups = [...new Map(rows.map(({ group }) => [group.name, group])).values()];
  const dead = groups.filter((group) => !isServed(group));
  const served = groups.filter(isServed);
  const failed = rows.reduce((sum, { one }) => sum + Object.values(one.failures).reduce((a, b) => a + b, 0), 0);
  const level = trouble.light;
  return h('article', { class: `card problem is-${level}`, 'data-key': JSON.stringify([level, trouble.provider, trouble.cause]) },
    h('h2', {}, h('span', { class: 'dot', 'aria-hidden': 'true' }),
      `${trouble.provider}: ${cause(trouble.cause) || LIGHTS[level].toLowerCase()}`,
      h('span', { class: 'since' }, trouble.since_s ? `since ${moment(trouble.since_s * 1000)} (${ago(trouble.since_s, overview.unix_ms)})` : 'since the start')),
    h('dl', {},
      h('dt', {}, level === 'down' ? 'Broken' : 'Limited'), h('dd', {}, names(rows.map(({ one }) => one.name), 6)),
      h('dt', {}, 'Affected'), h('dd', {},
        dead.map((group) => {
          const others = rescuers(overview, group);
          return others.length ? `${group.name}: requests go to the fallback ${names(others, 3)}. ` : h('strong', {}, `${group.name}: nothing serves it. `);
        }),
        served.length ? `${names(served.map((group) => group.name))}: requests go to ${names(siblings(served, rows), 4)}. ` : null,
        failed ? `${plural(failed, 'attempt')} failed there.` : null),
      first.error ? [h('dt', {}, 'Said'), h('dd', { class: 'said' }, first.error)] : null,
      first.hint ? [h('dt', {}, 'Fix'), h('dd', {}, first.hint)] : null,
      first.retry_after_s ? [h('dt', {}, 'Next try'), h('dd', {}, `in ${lasted(first.retry_after_s)}${first.provider_issued ? ', as the provider asks' : ''}`)] : null),
    rows.length === 1 ? buttons(first) : h('p', { class: 'quiet' }, 'Act on each deployment below.'));
}

function siblings(groups, rows) {
  const broken = new Set(rows.map(({ one }) => one.id));
  return [...new Set(groups.flatMap((group) => group.deployments.filter((one) => one.is_routed && one.light !== 'down' && !broken.has(one.id)).map((one) => one.name)))];
}

// --- Groups

function groupCard(group, overview, tells) {
  const all = group.deployments;
  const requests = all.reduce((sum, one) => sum + one.answered + one.failed, 0) + group.unanswered;
  const failed = all.reduce((sum, one) => sum + one.failed, 0) + group.unanswered;
  const up = all.filter((one) => one.light === 'up' || one.light === 'limited').length;
  const level = rankOf(group) === 3 ? 'up' : rankOf(group) === 2 ? 'limited' : 'down';
  const shown = own.wide.has(group.name) ? all : [...all].sort((a, b) => worse(a) - worse(b)).slice(0, MEMBERS);
  const total = all.reduce((sum, one) => sum + one.answered + one.failed, 0);
  return h('section', { class: 'card group', 'data-key': `group ${group.name}` },
    h('header', {},
      h('h3', {}, h('span', { class: `dot is-${level}`, 'aria-hidden': 'true' }), group.name),
      h('span', { class: 'tag' }, `${up} of ${all.length} up`),
      h('dl', { class: 'figures' },
        figure('requests', count(requests)), figure('failed', requests ? percent(failed / requests) : none),
        figure('latency p50, p95', both(group.latency.p50, group.latency.p95)),
        figure('first token', both(group.latency.first_p50, group.latency.first_p95)))),
    h('table', { class: 'members even' },
      h('caption', { class: 'visually-hidden' }, `Deployments of ${group.name}`),
      h('thead', {}, h('tr', {}, ['Deployment', 'State', own.hours === 24 ? 'Last 24 h' : 'Last 30 days', 'Share', 'In flight', 'Latency p50, p95', 'Failed', 'Actions'].map((text, at) => h('th', { scope: 'col', class: `c${at}` }, text)))),
      h('tbody', {}, shown.map((one) => row(one, total, overview, tells)))),
    shown.length < all.length ? h('button', { 'data-act': 'wide', 'data-group': group.name }, `Show all ${all.length} deployments`) : null);
}

const worse = (one) => ['down', 'limited', 'off', 'unknown', 'up'].indexOf(one.light);
const both = (a, b) => (a === null ? none : `${ms(a)}, ${ms(b)}`);
const figure = (name, value) => h('div', {}, h('dt', {}, name), h('dd', {}, value));
const cell = (label, props, ...children) => h('td', { 'data-label': label, ...props }, ...children);

function row(one, total, overview, tells) {
  const requests = one.answered + one.failed;
  const share = total ? requests / total : 0;
  const state = STATES[one.state] ?? one.state;
  const why = [one.light === 'up' ? '' : cause(one.cause), state].filter(Boolean).filter((text, at, list) => list.indexOf(text) === at);
  const busy = one.waiting ? `${count(one.in_flight)} + ${one.waiting} waiting` : count(one.in_flight);
  return h('tr', { 'data-key': one.id, class: `is-${one.light}` },
    cell('Deployment', { class: 'name' },
      h('strong', {}, one.name), h('span', { class: 'quiet' }, one.model === one.name ? one.provider : `${one.model} · ${one.provider}`),
      one.api_base ? h('span', { class: 'quiet address' }, one.api_base) : null),
    cell('State', { class: 'state' },
      h('span', { class: 'light' }, h('span', { class: 'dot', 'aria-hidden': 'true' }), LIGHTS[one.light]),
      why.length ? h('span', {}, why.join(', ')) : null,
      one.since_s ? h('span', { class: 'quiet', title: moment(one.since_s * 1000) }, `for ${ago(one.since_s, overview.unix_ms)}`) : null,
      one.hint && tells && one.light !== 'up' ? h('span', { class: 'quiet fix' }, `Fix: ${one.hint}`) : null),
    cell('Uptime', { class: 'uptime' }, uptimeOf(one, overview)),
    cell('Share', { class: 'share' }, requests ? percent(share) : none, meter(share)),
    cell('In flight', {}, busy),
    cell('Latency', { class: 'latency' },
      h('span', {}, both(one.latency.p50, one.latency.p95)),
      one.latency.first_p50 === null ? null : h('span', { class: 'quiet' }, `first token ${both(one.latency.first_p50, one.latency.first_p95)}`)),
    cell('Failed', { class: 'failed' }, failuresOf(one)),
    cell('Actions', { class: 'acts' }, buttons(one)));
}

function meter(share) {
  return h('svg', { class: 'meter', viewBox: '0 0 100 4', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
    h('rect', { class: 'back', width: 100, height: 4 }), h('rect', { class: 'fill', width: (share * 100).toFixed(1), height: 4 }));
}

function failuresOf(one) {
  const all = Object.entries(one.failures).sort((a, b) => b[1] - a[1]);
  if (!all.length) return none;
  return all.slice(0, 2).map(([name, number]) => h('span', {}, `${cause(name)}: ${count(number)}`));
}

function uptimeOf(one, overview) {
  if (!own.history) return none;
  const { since } = own.history;
  const until = Math.max(overview.unix_ms, since + 1);
  const list = spellsOf(own.history, one, overview);
  return [strip(list, { since, until, label: `${one.name}, ${own.hours === 24 ? '24 h' : '30 days'}` }), h('span', { class: 'quiet' }, percent(uptime(list)))];
}

function buttons(one) {
  if (!api.session.may_act) return null;
  const isOff = one.state === 'disabled';
  const button = (act, text, does) => h('button', { 'data-act': act, 'data-id': one.id, 'aria-label': `${text} ${one.name}: ${does}`, title: does }, text);
  return h('div', { class: 'buttons' },
    one.state === 'misconfigured' ? null : button('probe', 'Probe', 'send one probe now'),
    one.state === 'cooldown' || one.state === 'trial' || one.failures_in_a_row ? button('reset', 'Reset', 'end its cooldown') : null,
    isOff ? button('enable', 'Enable', 'let it serve again') : button('disable', 'Disable', 'send it no more requests'));
}

// --- What people do

function find(overview, id) {
  for (const group of overview.groups) {
    const one = group.deployments.find((other) => other.id === id);
    if (one) return { group, one };
  }
  return null;
}

async function change(data, { overview, refresh: look }, { name, past, danger, lines }) {
  const found = find(overview, data.id);
  if (!found) return;
  const verb = name[0].toUpperCase() + name.slice(1);
  if (!await confirm({ title: `${verb} ${found.one.name}?`, lines: lines(found), act: verb, danger })) return;
  await api.post(`router/deployments/${encodeURIComponent(data.id)}/${name}`);
  toast(`${found.one.name} is ${past}.`);
  await look();
}

function leftWithout({ group, one }) {
  const left = group.deployments.filter((other) => other.id !== one.id && other.is_routed && other.light !== 'down').map((other) => other.name);
  return left.length ? `${names(left)} ${left.length === 1 ? 'serves' : 'serve'} ${group.name} meanwhile.`
    : `Nothing else serves ${group.name} now: its requests will fail, or go to a fallback.`;
}

export const acts = {
  more() { own.groups += GROUPS; },
  wide({ group }) { own.wide.add(group); },
  async span({ hours }) {
    own.hours = Number(hours);
    await readHistory();
  },
  filter({ value }) { own.filter = value; },
  disable: (data, _, state) => change(data, state, {
    name: 'disable', past: 'disabled', danger: true,
    lines: (found) => ['It gets no request until it is enabled again. Requests in flight finish.', leftWithout(found)],
  }),
  enable: (data, _, state) => change(data, state, { name: 'enable', past: 'enabled', lines: () => ['It gets requests again, as far as its health allows.'] }),
  reset: (data, _, state) => change(data, state, {
    name: 'reset', past: 'reset', lines: () => ['Its cooldown ends and its failures are forgotten. If it is still broken, the next requests find out and move on.'],
  }),
  async probe(data, _, { overview, refresh: look }) {
    const found = find(overview, data.id);
    if (!found) return;
    const name = found.one.name;
    if (!await confirm({ title: `Probe ${name}?`, lines: ['One small request goes to the provider. It may cost a fraction of a cent.'], act: 'Probe' })) return;
    toast(`Probing ${name}…`);
    const { status, result } = await api.post('health/test_connection', { litellm_params: {}, model_info: { id: data.id } });
    const took = result.latency_ms === undefined ? '' : ` in ${ms(result.latency_ms)}`;
    if (status === 'success') toast(`${name} answered${took}.`);
    else toast(`${name} failed${took}: ${[cause(result.cause), result.error].filter(Boolean).join(': ')}`, 'bad');
    await look();
  },
};
