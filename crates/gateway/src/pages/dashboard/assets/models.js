// Models: which deployments each model group has, what they reach and by which credential; what is known of one; names that stand for others.

import * as api from './api.js';
import { confirm, toast } from './ask.js';
import { h } from './dom.js';
import { cause, count, names as listed, none, plural, usd } from './format.js';
import { shownGroups } from './judge.js';
import { attempt, fields, filled, problem, short, state } from './tenant.js';

export const title = 'Models';

const SIZE = 50;
const LIGHTS = { up: 'up', limited: 'limited', down: 'down', off: 'off', unknown: 'not probed' };
const own = { filter: '', shown: SIZE, id: null, info: null, problem: null, stored: [], changes: 0, open: null };

const PARAMS = [['model', 'Provider and model', 'text', 'openai/gpt-4o'], ['api_base', 'Address', 'text', 'empty is the provider’s own'], ['litellm_credential_name', 'Credential', 'text', 'the name of one below; or a key of its own:']];
const NEW = [['model_name', 'Model group', 'text', 'what clients ask for'], ...PARAMS, ['id', 'Id', 'text', 'empty: one is made']];
const CREDENTIAL = [['credential_name', 'Name', 'text', ''], ['api_base', 'Address', 'text', 'empty is the provider’s own']];

/** A field for a secret, which is written and never shown. */
const secret = (name, hint) => h('div', { 'data-key': 'api_key' }, h('label', { for: `${name}-api_key` }, 'API key'),
  h('input', { id: `${name}-api_key`, name: 'api_key', type: 'password', autocomplete: 'off', 'aria-describedby': `${name}-key-hint` }), h('span', { class: 'hint', id: `${name}-key-hint` }, hint));

export async function load({ query }) {
  own.problem = null;
  own.open = null;
  own.id = query.id || null;
  await api.routes();
  if (!own.id) {
    await readStored();
    return;
  }
  await open();
}

/** The credentials of the store, which have names. */
async function readStored() {
  own.stored = [];
  if (!api.has('/credentials') || api.session.session !== 'begun') return;
  try {
    own.stored = (await api.get('credentials')).credentials;
  } catch (error) {
    // Without a store there are none.
    if (!(error instanceof api.Refused) || error.status !== 400) throw error;
  }
}

async function open() {
  if (own.info && own.info.model_info.id !== own.id) own.info = null;
  const { id } = own;
  const found = await attempt(own, () => api.get(api.query('v1/model/info', { litellm_model_id: id })));
  if (own.id === id) own.info = found ? found.data[0] : null;
}

export function view({ overview }) {
  if (own.id) return opened(overview);
  if (!overview) return [h('h1', {}, 'Models'), h('p', { class: 'quiet' }, 'Loading…')];
  const wanted = own.filter.trim().toLowerCase();
  const rows = shownGroups(overview).flatMap((group) => group.deployments.map((one) => ({ group, one })))
    .filter(({ group, one }) => !wanted || [group.name, one.name, one.model, one.provider, one.api_base || '', one.credential || ''].some((text) => text.toLowerCase().includes(wanted)));
  return [
    h('div', { class: 'bar' }, h('h1', {}, 'Models'), h('label', { class: 'visually-hidden', for: 'm-filter' }, 'Filter by group, model, provider or address'),
      h('input', { id: 'm-filter', type: 'search', placeholder: 'Filter by group, model, provider', 'data-input': 'filter' })),
    h('p', { class: 'quiet' }, 'They stand in ', h('code', {}, 'model_list'), ' of the config, which is read again when it changes, or are made here, if the config has ', h('code', {}, 'store_model_in_db: true'), '.'),
    problem(own.problem),
    makes('/model/new') ? form('model', 'New model', [fields('new', NEW), secret('new', 'It is kept encrypted, and never shown again')], 'Make the model') : null,
    rows.length ? table(rows) : h('p', { class: 'card quiet' }, wanted ? 'No deployment matches the filter.' : 'No deployments.'),
    makes('/credentials') ? form('credential', 'New credential', [fields('cred', CREDENTIAL), secret('cred', 'It is kept encrypted, and never shown again')], 'Make the credential') : null,
    stored(),
    credentials(overview),
  ];
}

const link = (one) => h('a', { href: `#/models?${new URLSearchParams({ id: one.id })}` }, h('bdi', {}, short(one.name, 48)));

function table(rows) {
  return h('section', { class: 'card', 'data-key': 'table' }, h('table', { class: 'members narrow' },
    h('caption', { class: 'visually-hidden' }, 'Deployments'),
    h('thead', {}, h('tr', {}, ['Deployment', 'Model group', 'Reaches', 'State'].map((text) => h('th', { scope: 'col' }, text)))),
    h('tbody', {}, rows.slice(0, own.shown).map(({ group, one }) => h('tr', { 'data-key': one.id, class: `is-${one.light}` },
      h('td', { 'data-label': 'Deployment', class: 'name' }, link(one)),
      h('td', { 'data-label': 'Model group' }, short(group.name, 48)),
      h('td', { 'data-label': 'Reaches', class: 'meaning' }, h('span', {}, short(one.model, 48)), h('span', { class: 'quiet' }, one.provider), one.api_base ? h('span', { class: 'quiet address' }, one.api_base) : null),
      h('td', { 'data-label': 'State', class: 'state' }, h('span', { class: 'light' }, h('span', { class: 'dot', 'aria-hidden': 'true' }), LIGHTS[one.light]), one.cause && one.light !== 'up' ? h('span', { class: 'quiet' }, cause(one.cause)) : null))))),
  rows.length > own.shown ? h('p', {}, h('button', { 'data-act': 'more' }, `Show ${Math.min(SIZE, rows.length - own.shown)} more of ${count(rows.length)} deployments`)) : null);
}

const makes = (path) => api.session.may_act && api.has(path);

function form(kind, title_, inside, act) {
  return h('details', { class: 'card', 'data-key': kind, open: own.problem && own.open === kind ? true : null }, h('summary', {}, title_),
    h('form', { class: 'fields', 'data-act': kind, 'data-key': `${kind} ${own.changes}` }, inside, h('button', { class: 'primary', type: 'submit' }, act)));
}

/** Credentials that were made at run time. */
function stored() {
  if (!own.stored.length) return null;
  return h('section', { class: 'card', 'data-key': 'stored' }, h('h2', {}, 'Credentials with a name'), h('table', { class: 'members narrow' },
    h('thead', {}, h('tr', {}, ['Name', 'Values', 'Actions'].map((text) => h('th', { scope: 'col' }, text)))),
    h('tbody', {}, own.stored.slice(0, 200).map((one) => h('tr', { 'data-key': one.credential_name },
      h('td', { 'data-label': 'Name', class: 'name' }, h('bdi', {}, short(one.credential_name, 60))),
      h('td', { 'data-label': 'Values', class: 'meaning' }, Object.keys(one.credential_values || {}).join(', ') || none),
      h('td', { 'data-label': 'Actions', class: 'acts' }, one.credential_info && one.credential_info.source === 'config' ? 'in the config' : makes('/credentials/{name}') ? h('div', { class: 'buttons' }, h('button', { 'data-act': 'remove-credential', 'data-name': one.credential_name, 'aria-label': `Delete ${one.credential_name}` }, 'Delete')) : null))))));
}

/** What shares a credential fails together: a refused key is every one's. */
function credentials(overview) {
  const found = new Map();
  for (const group of shownGroups(overview)) {
    for (const one of group.deployments) {
      if (one.credential) found.set(one.credential, [...(found.get(one.credential) || []), one]);
    }
  }
  const all = [...found].sort((a, b) => b[1].length - a[1].length).slice(0, SIZE);
  if (!all.length) return null;
  return h('section', { class: 'card', 'data-key': 'credentials' }, h('h2', {}, 'Credentials'),
    h('p', { class: 'quiet' }, 'Deployments with one credential share what befalls it. Its text is never shown: the mark is a fingerprint.'),
    h('table', { class: 'members narrow' }, h('thead', {}, h('tr', {}, ['Credential', 'Provider', 'State', 'Deployments'].map((text) => h('th', { scope: 'col' }, text)))),
      h('tbody', {}, all.map(([id, list]) => {
        const refused = list.filter((one) => one.light === 'down' && ['auth', 'permission', 'quota'].includes(one.cause));
        return h('tr', { 'data-key': id }, h('td', { 'data-label': 'Credential', class: 'name' }, h('code', {}, short(id, 24))),
          h('td', { 'data-label': 'Provider' }, listed([...new Set(list.map((one) => one.provider))])),
          h('td', { 'data-label': 'State', class: 'state' }, refused.length ? state('down', cause(refused[0].cause)) : state('up', 'works, as far as is known')),
          h('td', { 'data-label': 'Deployments', class: 'meaning' }, listed(list.map((one) => one.name), 4)));
      }))));
}

function opened(overview) {
  const { info, id } = own;
  const back = h('p', {}, h('a', { href: '#/models' }, 'All models'));
  const known = overview ? overview.groups.flatMap((group) => group.deployments).find((one) => one.id === id) : null;
  if (!info) return [h('h1', {}, 'Model'), back, problem(own.problem), own.problem ? null : h('p', { class: 'quiet' }, 'Loading…')];
  const { model_info: facts, litellm_params: params } = info;
  const price = (value) => (value ? `${usd(value * 1e6)} for a million tokens` : none);
  const fact = (name, ...value) => [h('dt', {}, name), h('dd', {}, value)];
  const can = Object.entries(facts).filter(([name, value]) => name.startsWith('supports_') && value === true).map(([name]) => name.slice(9).replaceAll('_', ' '));
  return [
    h('div', { class: 'bar' }, h('h1', {}, h('bdi', {}, short(known ? known.name : id, 120))), back),
    problem(own.problem),
    info.misconfigured ? h('p', { class: 'card notice is-down', role: 'alert' }, info.misconfigured) : null,
    h('div', { class: 'columns' },
      h('section', { class: 'card', 'data-key': 'about', 'aria-label': 'The deployment' }, h('dl', {},
        fact('Model group', short(info.model_name, 80)), fact('Id', h('code', {}, short(id, 80))),
        known ? fact('State', state(known.light, LIGHTS[known.light]), known.error ? h('p', { class: 'said' }, known.error) : null) : null,
        known && known.hint ? fact('Fix', known.hint) : null,
        known && known.declared_at ? fact('In the config', h('code', {}, known.declared_at)) : null),
      facts.db_model && makes('/model/delete') ? h('div', { class: 'buttons' }, h('button', { class: 'danger', 'data-act': 'remove' }, 'Delete')) : null,
      h('div', { class: 'buttons' }, h('a', { href: `#/explain?${new URLSearchParams({ model: info.model_name })}` }, 'Explain a request to it'))),
      h('section', { class: 'card', 'data-key': 'facts', 'aria-label': 'What is known of its model' }, h('h2', {}, 'What is known of its model'), h('dl', {},
        fact('Input', price(facts.input_cost_per_token)), fact('Output', price(facts.output_cost_per_token)),
        fact('Context', facts.max_input_tokens ? plural(facts.max_input_tokens, 'token') : none), fact('Longest answer', facts.max_output_tokens ? plural(facts.max_output_tokens, 'token') : none),
        fact('Mode', facts.mode || none), fact('Can', can.length ? can.join(', ') : none)))),
    h('section', { class: 'card', 'data-key': 'params' }, h('h2', {}, 'litellm_params'), h('table', { class: 'members narrow' },
      h('thead', {}, h('tr', {}, ['Key', 'Value'].map((text) => h('th', { scope: 'col' }, text)))),
      h('tbody', {}, Object.entries(params).map(([name, value]) => h('tr', { 'data-key': name }, h('td', { 'data-label': 'Key', class: 'name' }, h('code', {}, name)),
        h('td', { 'data-label': 'Value', class: 'meaning' }, short(typeof value === 'object' ? JSON.stringify(value) : value, 400))))))),
  ];
}

/** A form as `litellm_params`, without what is empty. */
const paramsOf = (data) => ({ ...filled(PARAMS, data), ...(data.api_key ? { api_key: data.api_key } : {}) });

export const acts = {
  async model(data, _, { refresh }) {
    own.open = 'model';
    await attempt(own, async () => {
      const { id } = filled(NEW, data);
      const made = await api.post('model/new', { model_name: data.model_name.trim(), litellm_params: paramsOf(data), model_info: id ? { id } : {} });
      own.changes += 1;
      toast(made.warning || `The model ${data.model_name.trim()} was made.`, made.warning ? 'bad' : 'good');
      await refresh();
    });
  },
  async credential(data) {
    own.open = 'credential';
    await attempt(own, async () => {
      const { credential_name: name, ...values } = filled(CREDENTIAL, data);
      await api.post('credentials', { credential_name: name, credential_values: { ...values, ...(data.api_key ? { api_key: data.api_key } : {}) }, credential_info: {} });
      own.changes += 1;
      toast(`The credential ${name} was made.`);
      await readStored();
    });
  },
  async remove(_, __, { refresh }) {
    if (!await confirm({ title: `Delete ${own.id}?`, lines: ['It gets no further requests; calls in flight end as they would. This cannot be undone.'], act: 'Delete', danger: true })) return;
    await attempt(own, async () => {
      await api.post('model/delete', { id: own.id });
      toast(`${own.id} is deleted.`);
      location.hash = '#/models';
      await refresh();
    });
  },
  async 'remove-credential'({ name }) {
    if (!await confirm({ title: `Delete the credential ${name}?`, lines: ['Deployments that name it cannot work without it.'], act: 'Delete', danger: true })) return;
    await attempt(own, async () => {
      await api.remove(`credentials/${encodeURIComponent(name)}`);
      toast(`The credential ${name} is deleted.`);
      await readStored();
    });
  },
  more() { own.shown += SIZE; },
  filter({ value }) { own.filter = value; },
};
