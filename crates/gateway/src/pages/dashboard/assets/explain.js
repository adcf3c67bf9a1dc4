// What would become of a request, and what became of one: candidates with reasons, and a past request by its call id.

import * as api from './api.js';
import { h } from './dom.js';
import { count, lasted, moment, ms, none, plural, usd } from './format.js';
import { outcome } from './requests.js';

export const title = 'Explain';

const own = { model: '', body: '', found: null, problem: null, past: null, pastProblem: null, callId: '' };

export async function load({ query }) {
  if (query.call_id && query.call_id !== own.callId) await look(query.call_id);
  if (query.model && query.model !== own.model) {
    own.model = query.model;
    await explain(query.model, '', false);
  }
}

export function view({ overview }) {
  const groups = overview ? overview.groups.filter((group) => group.is_listed).map((group) => group.name) : [];
  return [
    h('h1', {}, 'Explain'),
    h('div', { class: 'columns' },
      h('form', { class: 'card', 'data-act': 'explain', 'data-key': 'ask' },
        h('h2', {}, 'A request that could come'),
        h('label', { for: 'model' }, 'Model'),
        h('input', { id: 'model', name: 'model', list: 'groups', autocomplete: 'off', placeholder: groups[0] || 'gpt-4o' }),
        h('div', { class: 'buttons', role: 'group', 'aria-label': 'Groups' }, groups.slice(0, 8).map((name) => h('button', { type: 'button', class: 'small', 'data-act': 'pick', 'data-model': name }, name))),
        h('datalist', { id: 'groups' }, groups.slice(0, 500).map((name) => h('option', { value: name }))),
        h('label', { class: 'check' }, h('input', { type: 'checkbox', name: 'stream' }), ' streamed'),
        h('details', {}, h('summary', {}, 'Paste a whole request'),
          h('label', { for: 'body' }, 'Its JSON body; the model above may be empty then'),
          h('textarea', { id: 'body', name: 'body', rows: 6, spellcheck: 'false' })),
        h('button', { class: 'primary', type: 'submit' }, 'Explain')),
      h('form', { class: 'card', 'data-act': 'past', 'data-key': 'past' },
        h('h2', {}, 'A request that came'),
        h('label', { for: 'call' }, 'Call id, from the header ', h('code', {}, 'x-litellm-call-id')),
        h('input', { id: 'call', name: 'call_id', autocomplete: 'off' }),
        h('button', { class: 'primary', type: 'submit' }, 'Look up'))),
    own.problem ? h('p', { class: 'card notice is-down', role: 'alert' }, own.problem) : null,
    own.found ? plan(own.found) : null,
    own.pastProblem ? h('p', { class: 'card notice', role: 'alert' }, own.pastProblem) : null,
    own.past ? past(own.past) : null,
  ];
}

function plan(found) {
  return h('section', { class: 'card', 'data-key': 'plan', 'aria-label': 'The plan' },
    h('h2', {}, `What a request for ${found.model} would do now`),
    h('dl', { class: 'figures' },
      fact('strategy', found.strategy), fact('at worst', lasted(found.worst_case_s)),
      fact('deadline', found.deadline_s === null ? 'none' : lasted(found.deadline_s)),
      fact('waits first', found.waits_s === null ? 'no' : lasted(found.waits_s))),
    found.groups.map((group, index) => h('div', { 'data-key': `group ${index}` },
      h('h3', {}, index ? `Fallback: ${group.model_group}` : group.model_group, h('span', { class: 'tag' }, plural(group.attempts, 'attempt'))),
      h('table', { class: 'members' },
        h('thead', {}, h('tr', {}, ['Order', 'Deployment', 'Verdict', 'Score', 'Timeout'].map((text) => h('th', { scope: 'col' }, text)))),
        h('tbody', {}, group.candidates.map((one, at) => candidate(one, at)))))),
    next('A prompt that is too long goes to', found.context_window_fallbacks),
    next('A refusal by policy goes to', found.content_policy_fallbacks));
}

function candidate(one, at) {
  const takes = one.state === 'ready' || one.state === 'reopening' || one.state === 'trial';
  const words = [one.state === 'trial' ? 'half-open' : one.state, one.cause ? `(${one.cause})` : '', one.in_safety_net && !takes ? '· tried as a last resort' : ''].filter(Boolean).join(' ');
  return h('tr', { 'data-key': one.deployment, class: takes ? 'is-up' : 'is-down' },
    h('td', { 'data-label': 'Order' }, takes || one.in_safety_net ? String(at + 1) : none),
    h('td', { 'data-label': 'Deployment', class: 'name' }, h('strong', {}, one.name)),
    h('td', { 'data-label': 'Verdict', class: 'state' },
      h('span', { class: 'light' }, h('span', { class: 'dot', 'aria-hidden': 'true' }), words),
      one.hint ? h('span', { class: 'quiet' }, one.hint) : null,
      one.retry_after_s && !one.hint ? h('span', { class: 'quiet' }, `again in ${lasted(one.retry_after_s)}`) : null),
    h('td', { 'data-label': 'Score' }, one.score > 1e300 ? none : count(one.score)),
    h('td', { 'data-label': 'Timeout' }, lasted(one.timeout_s)));
}

const fact = (name, value) => h('div', {}, h('dt', {}, name), h('dd', {}, value));
const next = (text, list) => (list.length ? h('p', {}, `${text} ${list.join(', ')}.`) : null);

function past(row) {
  const steps = [
    h('li', {}, h('strong', {}, 'Arrived'), ` ${moment(row.arrived_at_ms)}: ${row.operation} for ${row.model || none}${row.stream ? ', streamed' : ''}`),
    row.waited_us ? h('li', {}, h('strong', {}, 'Waited'), ` ${ms(row.waited_us / 1000)} for its turn`) : null,
    row.retries ? h('li', {}, h('strong', {}, 'Tried again'), ` ${plural(row.retries, 'time')} within its group`) : null,
    row.fallbacks ? h('li', {}, h('strong', {}, 'Moved'), ` to ${plural(row.fallbacks, 'fallback group')}`) : null,
    row.first_content_us ? h('li', {}, h('strong', {}, 'First content'), ` after ${ms(row.first_content_us / 1000)}`) : null,
    h('li', {}, h('strong', {}, outcome(row)), ` at ${row.deployment || 'no deployment'} of ${row.model_group || 'no group'} after ${ms(row.duration_us / 1000)}`),
  ];
  return h('section', { class: 'card', 'data-key': 'past-way', 'aria-label': 'The way it took' },
    h('h2', {}, `The way of ${row.call_id}`),
    h('ol', { class: 'way' }, steps),
    h('p', { class: 'quiet' }, `${count(row.input_tokens)} tokens in, ${count(row.output_tokens)} out, ${usd(row.cost_usd)}, replica ${row.replica}.`));
}

async function explain(model, text, stream) {
  Object.assign(own, { found: null, problem: null });
  let body = {};
  if (text.trim()) {
    try {
      body = JSON.parse(text);
    } catch (error) {
      own.problem = `The body is not JSON: ${error.message}`;
      return;
    }
  }
  if (model) body.model = model;
  if (stream) body.stream = true;
  try {
    own.found = await api.post('router/explain', body);
  } catch (error) {
    if (!(error instanceof api.Refused) || error.status === 401) throw error;
    own.problem = error.message;
  }
}

async function look(callId) {
  Object.assign(own, { callId, past: null, pastProblem: null });
  const answer = await api.get(api.query('ui/requests', { call_id: callId, all: 1, hours: 744, limit: 1 }));
  if (!answer.has_store) own.pastProblem = 'Past requests are kept in the store, and none is open: db in /health/readiness says why.';
  else if (!answer.requests.length) own.pastProblem = `No request with the call id ${callId} is stored.`;
  else [own.past] = answer.requests;
}

export const acts = {
  pick: ({ model }) => explain(model, '', false),
  explain: ({ model, body, stream }) => explain(model.trim(), body || '', Boolean(stream)),
  past: ({ call_id: callId }) => (callId.trim() ? look(callId.trim()) : null),
};
