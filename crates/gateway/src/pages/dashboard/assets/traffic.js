// Requests, tokens and cost over time, by group and deployment; failures by cause; as CSV too.

import * as api from './api.js';
import { bars } from './chart.js';
import { save, written } from './csv.js';
import { h } from './dom.js';
import { cause, count, ms, none, percent, usd } from './format.js';
import { shownGroups } from './judge.js';

export const title = 'Traffic';

const SPANS = [[1, '1 h'], [6, '6 h'], [24, '24 h'], [168, '7 days'], [720, '30 days']];
const BARS = 72;
const own = { hours: 6, by: 'group', answer: null };

export async function load() {
  own.answer = await api.get(`ui/traffic?hours=${own.hours}`);
}

let readAt = 0;
export async function refresh() {
  if (Date.now() - readAt < 15000) return;
  readAt = Date.now();
  await load();
}

const rows = () => own.answer.rows.map(([start, group, deployment, why, requests, input, output, cost, took]) => ({ start, group, deployment, why, requests, input, output, cost, took }));

export function view({ overview }) {
  if (!own.answer) return h('p', { class: 'quiet' }, 'Loading…');
  return [
    h('div', { class: 'bar' }, h('h1', {}, 'Traffic'),
      h('div', { class: 'choice', role: 'group', 'aria-label': 'Span' }, SPANS.map(([hours, text]) => h('button', {
        'data-act': 'span', 'data-hours': hours, 'aria-pressed': String(own.hours === hours),
      }, text))),
      own.answer.rows.length ? h('button', { 'data-act': 'csv' }, 'CSV') : null),
    own.answer.has_store ? charts() : sinceStart(overview),
  ];
}

function sinceStart(overview) {
  const all = overview ? shownGroups(overview) : [];
  return [
    h('p', { class: 'card quiet' }, 'Traffic over time is known only with a store. This is what the process counted since its start.'),
    table(all.map((group) => {
      const answered = group.deployments.reduce((sum, one) => sum + one.answered, 0);
      const failed = group.deployments.reduce((sum, one) => sum + one.failed, 0) + group.unanswered;
      return { name: group.name, requests: answered + failed, failed, took: null, p50: group.latency.p50 };
    })),
  ];
}

function charts() {
  const all = rows();
  if (!all.length) return h('p', { class: 'card quiet' }, 'No request came in this time.');
  const step = own.hours > 24 ? 86400000 : Math.max(60000, Math.ceil((own.hours * 3600000) / BARS / 60000) * 60000);
  const until = Date.now();
  const first = Math.floor(own.answer.since_ms / step) * step;
  const points = [];
  for (let at = first; at <= until; at += step) points.push({ at, requests: { 'b-good': 0, 'b-bad': 0 }, tokens: { 'b-in': 0, 'b-out': 0 }, cost: { 'b-good': 0 } });
  for (const row of all) {
    const point = points[Math.floor((row.start - first) / step)];
    if (!point) continue;
    point.requests[row.why ? 'b-bad' : 'b-good'] += row.requests;
    point.tokens['b-in'] += row.input;
    point.tokens['b-out'] += row.output;
    point.cost['b-good'] += row.cost;
  }
  const whole = Math.min(window.innerWidth, 1280) - (window.innerWidth > 860 ? 76 : 44);
  const half = window.innerWidth > 800 ? whole / 2 - 26 : whole;
  const chart = (name, what, width, legend, shows) => h('section', { class: 'card', 'data-key': name }, h('div', { class: 'bar' }, h('h2', {}, name), legend),
    bars(points.map((point) => ({ at: point.at, parts: point[what] })), { width, step, label: `${name} over time`, shows }));
  const key = (name, text) => h('span', { class: `key ${name}` }, text);
  return [
    chart('Requests', 'requests', whole, [key('b-good', 'answered'), key('b-bad', 'failed')]),
    h('div', { class: 'columns' },
      chart('Tokens', 'tokens', half, [key('b-in', 'input'), key('b-out', 'output')]),
      chart('Cost', 'cost', half, null, usd)),
    h('div', { class: 'columns' }, h('section', { class: 'card' },
      h('div', { class: 'bar' }, h('h2', {}, 'By'), h('div', { class: 'choice', role: 'group', 'aria-label': 'By' }, [['group', 'group'], ['deployment', 'deployment']].map(([by, text]) => h('button', {
        'data-act': 'by', 'data-by': by, 'aria-pressed': String(own.by === by),
      }, text)))), table(sums(all, (row) => row[own.by] || none))),
    h('section', { class: 'card' }, h('h2', {}, 'Failures by cause'), causes(all))),
  ];
}

function sums(all, nameOf) {
  const found = new Map();
  for (const row of all) {
    const name = nameOf(row);
    const sum = found.get(name) || { name, requests: 0, failed: 0, input: 0, output: 0, cost: 0, took: 0 };
    sum.requests += row.requests;
    if (row.why) sum.failed += row.requests;
    for (const what of ['input', 'output', 'cost', 'took']) sum[what] += row[what];
    found.set(name, sum);
  }
  return [...found.values()].sort((a, b) => b.requests - a.requests);
}

function table(list) {
  return h('table', { class: 'members narrow' },
    h('thead', {}, h('tr', {}, ['Name', 'Requests', 'Failed', 'Mean', 'Tokens', 'Cost'].map((text) => h('th', { scope: 'col' }, text)))),
    h('tbody', {}, list.slice(0, 100).map((one) => h('tr', { 'data-key': one.name },
      h('td', { 'data-label': 'Name', class: 'name' }, h('strong', {}, one.name)),
      h('td', { 'data-label': 'Requests' }, count(one.requests)),
      h('td', { 'data-label': 'Failed' }, one.requests ? percent(one.failed / one.requests) : none),
      h('td', { 'data-label': 'Mean' }, one.took === null ? ms(one.p50) : one.requests ? ms(one.took / one.requests / 1000) : none),
      h('td', { 'data-label': 'Tokens' }, one.input === undefined ? none : `${count(one.input)} / ${count(one.output)}`),
      h('td', { 'data-label': 'Cost' }, usd(one.cost))))));
}

function causes(all) {
  const list = sums(all.filter((row) => row.why), (row) => row.why);
  if (!list.length) return h('p', { class: 'quiet' }, 'None.');
  const most = list[0].requests;
  return h('ul', { class: 'causes' }, list.map((one) => h('li', { 'data-key': one.name },
    h('a', { href: `#/requests?${new URLSearchParams({ cause: one.name, hours: own.hours > 168 ? '744' : own.hours > 24 ? '168' : '24' })}` }, cause(one.name)), ` ${count(one.requests)}`,
    h('svg', { class: 'meter', viewBox: '0 0 100 4', preserveAspectRatio: 'none', 'aria-hidden': 'true' }, h('rect', { class: 'b-bad', width: ((one.requests / most) * 100).toFixed(1), height: 4 })))));
}

export const acts = {
  async span({ hours }) {
    own.hours = Number(hours);
    await load();
  },
  by({ by }) { own.by = by; },
  csv() {
    const head = ['start', 'model_group', 'deployment', 'cause', 'requests', 'input_tokens', 'output_tokens', 'cost_usd', 'duration_us'];
    const rows = own.answer.rows.map(([start, ...others]) => [new Date(start).toISOString(), ...others]);
    save(`hale-traffic-${own.hours}h.csv`, written([head, ...rows]));
  },
};
