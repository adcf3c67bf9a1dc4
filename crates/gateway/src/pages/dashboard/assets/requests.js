// The last failures, and a search of stored requests.

import * as api from './api.js';
import { h } from './dom.js';
import { cause, count, moment, ms, none, time, usd } from './format.js';

export const title = 'Requests';

const own = { answer: null, filter: { hours: '24' } };

export async function load({ query }) {
  if (Object.keys(query).length) own.filter = { hours: '24', ...query };
  await read();
}

async function read() {
  own.answer = await api.get(api.query('ui/requests', { limit: 200, ...own.filter }));
}

/** How a request ended, in words. */
export function outcome(row) {
  if (row.ending === 'success') return `Answered ${row.status}`;
  if (row.ending === 'client_closed') return 'The client left';
  if (row.ending === 'broken') return `Broke (${cause(row.cause)})`;
  return `Failed ${row.status}${row.cause ? ` (${cause(row.cause)})` : ''}`;
}

export function view() {
  const { answer, filter } = own;
  return [
    h('h1', {}, 'Requests'),
    h('form', { class: 'card search', 'data-act': 'search', 'data-key': 'search' },
      field('call_id', 'Call id'), field('model', 'Model or group'), field('deployment', 'Deployment id'), field('cause', 'Cause'),
      h('div', {}, h('label', { for: 'hours' }, 'Within'),
        h('select', { id: 'hours', name: 'hours' }, [['1', 'an hour'], ['24', 'a day'], ['168', 'a week'], ['744', 'a month']]
          .map(([value, text]) => h('option', { value, selected: filter.hours === value }, text)))),
      h('label', { class: 'check' }, h('input', { type: 'checkbox', name: 'all', value: '1', checked: Boolean(filter.all) }), ' also those that were answered'),
      h('button', { class: 'primary', type: 'submit' }, 'Search')),
    answer === null ? h('p', { class: 'quiet' }, 'Loading…') : table(answer),
  ];
}

function field(name, label) {
  return h('div', {}, h('label', { for: `f-${name}` }, label),
    h('input', { id: `f-${name}`, name, autocomplete: 'off', value: own.filter[name] || null }));
}

function table(answer) {
  if (!answer.has_store) {
    return h('div', { class: 'card' }, h('h2', {}, 'No store'),
      h('p', {}, 'Requests are kept in the store, and none is open: ', h('code', {}, 'db'), ' in ', h('code', {}, '/health/readiness'), ' and the log say why. Set ', h('code', {}, 'HALE_DATA_DIR'), ' or ', h('code', {}, 'DATABASE_URL'), '.'));
  }
  if (!answer.requests.length) return h('p', { class: 'card quiet' }, own.filter.all ? 'No request fits.' : 'No request failed.');
  return h('section', { class: 'card', 'data-key': 'table' },
    h('table', { class: 'members' },
      h('caption', {}, answer.requests.length === 200 ? 'The newest 200' : `${answer.requests.length} of them, the newest first`),
      h('thead', {}, h('tr', {}, ['Time', 'Model', 'Deployment', 'Outcome', 'Took', 'Tokens', 'Cost', 'Way'].map((text) => h('th', { scope: 'col' }, text)))),
      h('tbody', {}, answer.requests.map(line))));
}

function line(row) {
  const cell = (label, ...children) => h('td', { 'data-label': label }, ...children);
  return h('tr', { 'data-key': `${row.call_id} ${row.arrived_at_ms}`, class: row.ending === 'success' ? 'is-up' : 'is-down' },
    h('td', { 'data-label': 'Time', title: moment(row.arrived_at_ms) }, time(row.arrived_at_ms)),
    cell('Model', row.model || row.model_group || none),
    cell('Deployment', row.deployment || none),
    h('td', { 'data-label': 'Outcome', class: 'state' }, h('span', { class: 'light' }, h('span', { class: 'dot', 'aria-hidden': 'true' }), outcome(row))),
    cell('Took', ms(row.duration_us / 1000)),
    cell('Tokens', `${count(row.input_tokens)} / ${count(row.output_tokens)}`),
    cell('Cost', usd(row.cost_usd)),
    cell('Way', h('a', { href: `#/explain?${new URLSearchParams({ call_id: row.call_id })}` }, 'explain')));
}

export const acts = {
  async search(data) {
    own.filter = data;
    await read();
  },
};
