// Keys: a list by pages; one with its budgets, limits and what it may reach; making, changing, replacing, blocking and deleting.

import * as api from './api.js';
import { confirm, toast } from './ask.js';
import { h } from './dom.js';
import { count, none, plural } from './format.js';
import { OWN_FIELDS, attempt, budget, changed, copy, fields, filled, limits, manages, modelsOf, once, pager, problem, short, state, when } from './tenant.js';

export const title = 'Keys';
export const forHolders = true;

const SIZE = 50;
const own = { answer: null, filter: {}, at: 1, open: null, reach: null, made: null, problem: null, teams: [], token: null };

const OF_OPERATORS = [['team_id', 'Team id', 'text', ''], ['user_id', 'User id', 'text', ''], ['soft_budget', 'Soft budget, USD', 'usd', 'operators are told from here on']];
// Those that admins of a team may set of a key that is there.
const LATER = OWN_FIELDS.key.filter(([name]) => !['max_budget', 'budget_duration'].includes(name));

export async function load({ query }) {
  own.problem = null;
  own.token = query.key || null;
  if (own.token) {
    await open(own.token);
    return;
  }
  Object.assign(own, { open: null, reach: null, opened: null });
  const { key_alias: alias = '', team_id: team = '', user_id: user = '', key_hash: hash = '' } = query;
  own.filter = { key_alias: alias, team_id: team, user_id: user, key_hash: hash };
  own.at = Number(query.page) || 1;
  await read();
}

/** What was shown once is gone with its page. */
export function leave() { own.made = null; }

async function read() {
  own.answer = await api.get(api.query('key/list', { return_full_object: 'true', size: SIZE, page: own.at, ...own.filter }));
  if (!api.session.may_act && api.session.user) own.teams = (await api.get('v2/team/list?page_size=100')).teams.filter(manages);
}

async function open(token) {
  // One that is read again stays while it is.
  if (own.opened !== token) Object.assign(own, { open: null, reach: null, answer: null, opened: token });
  const found = await attempt(own, async () => {
    const reach = await api.get(api.query('ui/reach', { key: token }));
    // An admin of a team sees the keys of others in the list of the team alone.
    const one = reach.is_own ? (await api.get(api.query('key/info', { key: token }))).info
      : (await api.get(api.query('key/list', { return_full_object: 'true', key_hash: token, team_id: reach.team }))).keys[0];
    if (!one) throw new api.Refused(404, { error: 'Key not found in database' });
    return { reach, open: one, team: one.team_id ? await team(one.team_id) : null };
  });
  if (own.token === token) Object.assign(own, found || { open: null, reach: null });
}

async function team(id) {
  const found = await api.get(api.query('v2/team/list', { team_id: id })).catch(() => ({ teams: [] }));
  return found.teams[0] || null;
}

export function view() {
  if (own.token) return opened();
  const may = api.session.may_act || own.teams.length > 0;
  return [
    h('h1', {}, 'Keys'),
    own.made ? shownOnce() : null,
    problem(own.problem),
    own.answer === null ? h('p', { class: 'quiet' }, 'Loading…') : [
      may ? makeForm() : null,
      search(),
      table(),
    ],
  ];
}

function shownOnce() {
  const { made } = own;
  return once(own, { title: made.replaced ? 'The key was replaced' : `The key ${made.key_alias || made.key_name || ''} was made`, lines: [
    made.replaced ? made.grace : `It may use ${made.models && made.models.length ? made.models.join(', ') : 'every model'}${made.expires ? `, and ends ${when(made.expires)}` : ''}.`,
  ] });
}

function makeForm() {
  const isAdmin = api.session.may_act;
  return h('details', { class: 'card', 'data-key': 'make', open: own.problem && own.making ? true : null }, h('summary', {}, 'New key'),
    h('form', { class: 'fields', 'data-act': 'make', 'data-key': `make ${own.made ? own.made.token : ''}` },
      isAdmin ? null : h('div', {}, h('label', { for: 'make-team_id' }, 'Team'), h('select', { id: 'make-team_id', name: 'team_id' }, own.teams.map((one) => h('option', { value: one.team_id }, one.team_alias || one.team_id)))),
      fields('make', [...OWN_FIELDS.key, ...(isAdmin ? OF_OPERATORS : [['user_id', 'User id', 'text', 'a member of the team']])]),
      h('button', { class: 'primary', type: 'submit' }, 'Make the key')));
}

function search() {
  const field = (name, label) => h('div', {}, h('label', { for: `f-${name}` }, label), h('input', { id: `f-${name}`, name, autocomplete: 'off', value: own.filter[name] || null }));
  return h('form', { class: 'card search', 'data-act': 'search', 'data-key': `search ${JSON.stringify(own.filter)}`, role: 'search', 'aria-label': 'Keys' },
    field('key_alias', 'Alias, whole'), field('team_id', 'Team id'), field('user_id', 'User id'), field('key_hash', 'Key or its hash'),
    h('button', { class: 'primary', type: 'submit' }, 'Search'));
}

/** What a key is now. */
function standing(row) {
  if (row.blocked) return ['down', 'blocked'];
  if (row.expires && Date.parse(row.expires) <= Date.now()) return ['off', 'ended'];
  return ['up', 'active'];
}

function table() {
  const { keys, total_count: total, current_page: at, total_pages: last } = own.answer;
  if (!keys.length) {
    const wanted = Object.values(own.filter).some(Boolean);
    return h('p', { class: 'card quiet' }, wanted ? 'No key fits.' : api.session.may_act ? 'No keys yet: clients use the master key. Make one for each of them.' : 'No keys.');
  }
  return h('section', { class: 'card', 'data-key': 'table' }, h('table', { class: 'members even keys' },
    h('caption', { class: 'visually-hidden' }, 'Keys, the newest first'),
    h('thead', {}, h('tr', {}, ['Key', 'Owner', 'State', 'Budget', 'Limits', 'Models'].map((text) => h('th', { scope: 'col' }, text)))),
    h('tbody', {}, keys.map(row))), pager(at, last, total, 'key'));
}

const nameOf = (one) => one.key_alias || one.key_name || 'a key';

function row(one) {
  const [level, word] = standing(one);
  const owner = [one.team_id ? h('a', { href: `#/teams?${new URLSearchParams({ id: one.team_id })}` }, 'team ', short(one.team_id, 24)) : null,
    one.user_id ? h('span', { class: 'quiet' }, 'user ', short(one.user_id, 24)) : null].filter(Boolean);
  return h('tr', { 'data-key': one.token },
    h('td', { 'data-label': 'Key', class: 'name' }, h('a', { href: `#/keys?${new URLSearchParams({ key: one.token })}` }, h('bdi', {}, short(nameOf(one), 48))), one.key_alias ? h('span', { class: 'quiet' }, one.key_name) : null),
    h('td', { 'data-label': 'Owner' }, owner.length ? owner : none),
    h('td', { 'data-label': 'State', class: 'state' }, state(level, word), one.expires && level === 'up' ? h('span', { class: 'quiet' }, `ends ${when(one.expires)}`) : null),
    h('td', { 'data-label': 'Budget', class: 'name' }, budget(one)),
    h('td', { 'data-label': 'Limits' }, limits(one)),
    h('td', { 'data-label': 'Models' }, modelsOf(one.models)));
}

// --- One key

function opened() {
  const back = h('p', {}, h('a', { href: '#/keys' }, 'All keys'));
  const one = own.open;
  if (!one) return [h('h1', {}, 'Key'), back, own.made ? shownOnce() : null, problem(own.problem), own.problem ? null : h('p', { class: 'quiet' }, 'Loading…')];
  const [level, word] = standing(one);
  const may = api.session.may_act || manages(own.team);
  const about = h('section', { class: 'card', 'data-key': 'about', 'aria-label': 'The key' },
    h('dl', {},
      fact('State', state(level, word)), fact('Text', h('code', {}, one.key_name || 'sk-…')),
      fact('Team', one.team_id ? h('a', { href: `#/teams?${new URLSearchParams({ id: one.team_id })}` }, short((own.team && own.team.team_alias) || one.team_id)) : none),
      fact('User', one.user_id ? short(one.user_id) : none),
      fact('Ends', one.expires ? when(one.expires) : 'never'), fact('Made', one.created_at ? when(one.created_at) : none),
      fact('Hash', h('code', {}, own.token))),
    may ? buttons(one) : null);
  return [
    h('div', { class: 'bar' }, h('h1', {}, h('bdi', {}, short(nameOf(one), 120))), back),
    own.made ? shownOnce() : null, problem(own.problem),
    h('div', { class: 'columns' }, about, reaches()),
    levels(),
    may ? edit(one) : null,
    may ? replace() : null,
  ];
}

const fact = (name, ...value) => [h('dt', {}, name), h('dd', {}, value)];

function buttons(one) {
  const button = (act, text, kind) => h('button', { 'data-act': act, class: kind }, text);
  return h('div', { class: 'buttons' }, one.blocked ? button('unblock', 'Unblock') : button('block', 'Block'), button('remove', 'Delete', 'danger'));
}

function reaches() {
  const { reach } = own;
  const names = Object.entries(reach.names);
  return h('section', { class: 'card', 'data-key': 'reach', 'aria-label': 'What it may reach' }, h('h2', {}, 'What it may reach'),
    reach.refused ? h('p', { class: 'notice is-down inner' }, `Nothing now: ${reach.refused}`) : null,
    reach.models.length ? h('ul', { class: 'chips' }, reach.models.slice(0, 60).map((name) => h('li', { class: 'tag', 'data-key': name }, h('bdi', {}, short(name, 40)))),
      reach.models.length > 60 ? h('li', { class: 'quiet' }, `and ${count(reach.models.length - 60)} more`) : null) : h('p', {}, 'No model of this gateway.'),
    reach.refused_models ? h('p', { class: 'quiet' }, `${plural(reach.refused_models, 'model group')} it may not use.`) : null,
    names.length ? h('p', { class: 'quiet' }, `Names of its own: ${names.slice(0, 20).map(([name, model]) => `${name} → ${model}`).join(', ')}`) : null,
    reach.allowed_routes.length ? h('p', { class: 'quiet' }, `Routes: ${reach.allowed_routes.slice(0, 20).join(', ')}`) : null,
    reach.unserved.length ? h('p', { class: 'quiet' }, `Its rows have rules that are not served, and limit nothing: ${reach.unserved.join(', ')}`) : null);
}

const OF = { api_key: 'the key', team: 'its team', team_member: 'its user in the team', organization: 'its organization', user: 'its user' };

function levels() {
  const all = own.reach.levels.filter((one) => one.max_budget !== null || one.rpm_limit !== null || one.tpm_limit !== null || one.max_parallel_requests !== null || one.of === 'api_key');
  const used = (value, limit) => (limit === null ? none : `${count(value)} of ${count(limit)}`);
  return h('section', { class: 'card', 'data-key': 'levels' }, h('h2', {}, 'What its requests count against'),
    h('table', { class: 'members narrow' }, h('thead', {}, h('tr', {}, ['Whose', 'Budget', 'Requests in this minute', 'Tokens in this minute', 'In flight'].map((text) => h('th', { scope: 'col' }, text)))),
      h('tbody', {}, all.map((one) => h('tr', { 'data-key': `${one.of} ${one.id}` },
        h('td', { 'data-label': 'Whose', class: 'name' }, h('strong', {}, OF[one.of] || one.of.replaceAll('_', ' ')), ['api_key', 'team_member'].includes(one.of) ? null : h('span', { class: 'quiet' }, short(one.id, 60))),
        h('td', { 'data-label': 'Budget', class: 'name' }, budget(one)),
        h('td', { 'data-label': 'Requests' }, used(one.requests, one.rpm_limit)), h('td', { 'data-label': 'Tokens' }, used(one.tokens, one.tpm_limit)),
        h('td', { 'data-label': 'In flight' }, used(one.in_flight, one.max_parallel_requests)))))));
}

const editable = () => (api.session.may_act ? [...OWN_FIELDS.key, ...OF_OPERATORS] : LATER);
/** The row as its form shows it. */
const formRow = (one) => ({ ...one, soft_budget: one.litellm_budget_table ? one.litellm_budget_table.soft_budget : null });

function edit(one) {
  return h('details', { class: 'card', 'data-key': 'edit', open: own.problem ? true : null }, h('summary', {}, 'Change budget, limits and models'),
    h('form', { class: 'fields', 'data-act': 'save', 'data-key': `edit ${own.token} ${one.updated_at}` }, fields('edit', editable(), formRow(one)),
      h('button', { class: 'primary', type: 'submit' }, 'Save')));
}

function replace() {
  return h('details', { class: 'card', 'data-key': 'replace' }, h('summary', {}, 'Give it another text'),
    h('form', { class: 'fields', 'data-act': 'replace', 'data-key': `replace ${own.token}` },
      h('div', {}, h('label', { for: 'grace' }, 'The text of now works'),
        h('select', { id: 'grace', name: 'grace_period' }, [['', 'no longer'], ['1h', 'for an hour more'], ['24h', 'for a day more'], ['7d', 'for a week more']].map(([value, text]) => h('option', { value }, text)))),
      h('button', { type: 'submit' }, 'Replace')));
}

// --- What people do

const to = (params) => { location.hash = `#/keys?${new URLSearchParams(Object.entries(params).filter(([, value]) => value))}`; };

async function blocked(act, lines) {
  const name = nameOf(own.open);
  if (!await confirm({ title: `${act === 'block' ? 'Block' : 'Unblock'} ${name}?`, lines, act: act === 'block' ? 'Block' : 'Unblock', danger: act === 'block' })) return;
  await attempt(own, async () => {
    await api.post(`key/${act}`, { key: own.token });
    toast(`${name} is ${act}ed.`);
    await open(own.token);
  });
}

export const acts = {
  copy,
  'made-done': () => { own.made = null; },
  search(data) { to({ ...data, key_hash: data.key_hash.trim() }); if (location.hash === '#/keys?') location.hash = '#/keys'; },
  page({ page }) { to({ ...own.filter, page }); },
  async make(data) {
    own.making = true;
    await attempt(own, async () => {
      const isAdmin = api.session.may_act;
      const wanted = [...OWN_FIELDS.key, ...OF_OPERATORS.filter(([name]) => isAdmin || name !== 'soft_budget')];
      own.made = await api.post('key/generate', filled(wanted, data));
      await read();
      window.scrollTo(0, 0);
    });
  },
  async save(data) {
    await attempt(own, async () => {
      const body = changed(editable(), data, formRow(own.open));
      if (!Object.keys(body).length) { toast('Nothing was changed.'); return; }
      await api.post('key/update', { key: own.token, ...body });
      await open(own.token);
      toast(`Saved: ${Object.keys(body).join(', ')}.`);
    });
  },
  block: () => blocked('block', ['Its requests are refused from now on, and its streams end.', 'It can be unblocked.']),
  unblock: () => blocked('unblock', ['Its requests are let in again.']),
  async remove() {
    const name = nameOf(own.open);
    if (!await confirm({ title: `Delete ${name}?`, lines: ['Its clients are refused from now on. This cannot be undone.', 'What it spent stays in the reports.'], act: 'Delete', danger: true })) return;
    await attempt(own, async () => {
      await api.post('key/delete', { keys: [own.token] });
      toast(`${name} is deleted.`);
      location.hash = '#/keys';
    });
  },
  async replace(data) {
    const grace = { '': 'The text before works no longer.', '1h': 'The text before works for an hour more.', '24h': 'The text before works for a day more.', '7d': 'The text before works for a week more.' }[data.grace_period];
    if (!await confirm({ title: `Replace the text of ${nameOf(own.open)}?`, lines: [grace, 'Budget, limits, owner and spend stay.'], act: 'Replace', danger: !data.grace_period })) return;
    await attempt(own, async () => {
      const made = await api.post('key/regenerate', { key: own.token, ...(data.grace_period ? { grace_period: data.grace_period } : {}) });
      own.made = { ...made, replaced: true, grace };
      history.replaceState(null, '', `#/keys?${new URLSearchParams({ key: made.token_id })}`);
      own.token = made.token_id;
      await open(own.token);
    });
  },
};
