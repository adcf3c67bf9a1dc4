// Users: a list by pages; one with its budget, teams and keys; making, changing and deleting.

import * as api from './api.js';
import { confirm, toast } from './ask.js';
import { h } from './dom.js';
import { count, none, plural } from './format.js';
import { OWN_FIELDS, attempt, budget, changed, copy, fields, filled, limits, modelsOf, once, pager, problem, short, when } from './tenant.js';

export const title = 'Users';
export const forHolders = true;

const SIZE = 50;
const own = { answer: null, at: 1, filter: {}, open: null, id: null, made: null, problem: null, changes: 0 };
const ROLES = [['internal_user', 'uses models, has keys'], ['internal_user_viewer', 'uses models, sees its keys'], ['proxy_admin_viewer', 'sees everything'], ['proxy_admin', 'may do everything']];
const NEW = [...OWN_FIELDS.user.slice(0, 2), ['user_id', 'Id', 'text', 'empty: one is made'], ...OWN_FIELDS.user.slice(2), ['teams', 'Team ids', 'list', 'with commas']];

export async function load({ query }) {
  own.problem = null;
  await api.routes();
  own.id = query.id || (api.session.sees_all ? null : api.session.user);
  if (own.id || !api.session.sees_all) {
    if (own.id) await open();
    return;
  }
  Object.assign(own, { open: null, at: Number(query.page) || 1, filter: { user_email: query.user_email || '', user_ids: query.user_ids || '', role: query.role || '' } });
  await read();
}

export function leave() { own.made = null; }

async function read() {
  own.answer = await api.get(api.query('user/list', { page: own.at, page_size: SIZE, ...own.filter }));
}

async function open() {
  const { id } = own;
  // One that is read again stays while it is.
  if (!own.open || own.open.user_id !== id) own.open = null;
  const found = await attempt(own, () => api.get(api.query('user/info', { user_id: id })));
  if (own.id === id) own.open = found;
}

export function view() {
  if (own.id) return opened();
  if (!api.session.sees_all) return [h('h1', {}, 'User'), h('p', { class: 'card quiet' }, 'Your key belongs to no user.')];
  const { filter } = own;
  const field = (name, label) => h('div', {}, h('label', { for: `f-${name}` }, label), h('input', { id: `f-${name}`, name, autocomplete: 'off', value: filter[name] || null }));
  return [
    h('h1', {}, 'Users'), own.made ? shownOnce() : null, problem(own.problem),
    own.answer === null ? h('p', { class: 'quiet' }, 'Loading…') : [
      api.session.may_act ? h('details', { class: 'card', 'data-key': 'make', open: own.problem ? true : null }, h('summary', {}, 'New user'),
        h('form', { class: 'fields', 'data-act': 'make', 'data-key': `make ${own.made ? own.made.user_id : ''}` }, fields('make', NEW), roles('internal_user'),
          h('label', { class: 'check' }, h('input', { type: 'checkbox', name: 'with_key', value: '1' }), ' and a key of its own'),
          h('button', { class: 'primary', type: 'submit' }, 'Make the user'))) : null,
      h('form', { class: 'card search', 'data-act': 'search', 'data-key': `search ${JSON.stringify(filter)}`, role: 'search', 'aria-label': 'Users' },
        field('user_email', 'E-mail, whole'), field('user_ids', 'User id'),
        h('div', {}, h('label', { for: 'f-role' }, 'Role'), h('select', { id: 'f-role', name: 'role' }, [['', 'any'], ...ROLES].map(([value]) => h('option', { value, selected: filter.role === value }, value || 'any')))),
        h('button', { class: 'primary', type: 'submit' }, 'Search')),
      table(),
    ],
  ];
}

const shownOnce = () => once(own, { title: `The user ${own.made.user_email || own.made.user_id} was made, with a key`, lines: ['The key has the rights and the budget of the user.'] });

const roles = (role, id = 'make') => h('div', { 'data-key': 'role' }, h('label', { for: `${id}-role` }, 'Role'), h('select', { id: `${id}-role`, name: 'user_role' }, ROLES.map(([value, text]) => h('option', { value, selected: value === role }, `${value}: ${text}`))));

const nameOf = (one) => one.user_alias || one.user_email || one.user_id;

function table() {
  const { users, total, page, total_pages: last } = own.answer;
  if (!users.length) return h('p', { class: 'card quiet' }, Object.values(own.filter).some(Boolean) ? 'No user fits.' : 'No users yet. A user has keys, and may be in teams.');
  return h('section', { class: 'card', 'data-key': 'table' }, h('table', { class: 'members narrow' },
    h('caption', { class: 'visually-hidden' }, 'Users, the newest first'),
    h('thead', {}, h('tr', {}, ['User', 'Role', 'Budget', 'Limits', 'Models', 'Keys'].map((text) => h('th', { scope: 'col' }, text)))),
    h('tbody', {}, users.map((one) => h('tr', { 'data-key': one.user_id },
      h('td', { 'data-label': 'User', class: 'name' }, h('a', { href: `#/users?${new URLSearchParams({ id: one.user_id })}` }, h('bdi', {}, short(nameOf(one), 48))), nameOf(one) === one.user_id ? null : h('span', { class: 'quiet' }, short(one.user_id, 40))),
      h('td', { 'data-label': 'Role' }, one.user_role || none), h('td', { 'data-label': 'Budget', class: 'name' }, budget(one)),
      h('td', { 'data-label': 'Limits' }, limits(one)), h('td', { 'data-label': 'Models' }, modelsOf(one.models)),
      h('td', { 'data-label': 'Keys' }, h('a', { href: `#/keys?${new URLSearchParams({ user_id: one.user_id })}` }, count(one.key_count))))))), pager(page, last, total, 'user'));
}

function opened() {
  const back = api.session.sees_all ? h('p', {}, h('a', { href: '#/users' }, 'All users')) : null;
  if (!own.open) return [h('h1', {}, 'User'), back, problem(own.problem), own.problem ? null : h('p', { class: 'quiet' }, 'Loading…')];
  const { user_info: one, teams, keys } = own.open;
  const fact = (name, ...value) => [h('dt', {}, name), h('dd', {}, value)];
  const may = api.session.may_act;
  return [
    h('div', { class: 'bar' }, h('h1', {}, h('bdi', {}, short(nameOf(one), 120))), back), problem(own.problem),
    h('div', { class: 'columns' },
      h('section', { class: 'card', 'data-key': 'about', 'aria-label': 'The user' },
        h('dl', {}, fact('Id', h('code', {}, short(one.user_id, 80))), fact('E-mail', one.user_email ? short(one.user_email, 80) : none), fact('Role', one.user_role || none),
          fact('Models', modelsOf(one.models)), fact('Limits', limits(one)),
          fact('Teams', teams.length ? teams.slice(0, 50).map((team, at) => [at ? ', ' : '', h('a', { href: `#/teams?${new URLSearchParams({ id: team.team_id })}` }, short(team.team_alias || team.team_id, 40))]) : none),
          fact('Keys', h('a', { href: `#/keys?${new URLSearchParams({ user_id: one.user_id })}` }, plural(keys.length, 'key'))), fact('Made', one.created_at ? when(one.created_at) : none)),
        may && api.has('/user/delete') ? h('div', { class: 'buttons' }, h('button', { class: 'danger', 'data-act': 'remove' }, 'Delete')) : null),
      h('section', { class: 'card', 'data-key': 'budget', 'aria-label': 'Its budget' }, h('h2', {}, 'Budget'), budget(one), h('p', { class: 'quiet' }, 'It counts for keys without a team.'))),
    may && api.has('/user/update') ? h('details', { class: 'card', 'data-key': 'edit', open: own.problem ? true : null }, h('summary', {}, 'Change budget, limits, models and role'),
      h('form', { class: 'fields', 'data-act': 'save', 'data-key': `edit ${one.user_id} ${one.updated_at}` }, fields('edit', OWN_FIELDS.user, one), roles(one.user_role, 'edit'), h('button', { class: 'primary', type: 'submit' }, 'Save'))) : null,
    may && api.has('/user/update') ? h('details', { class: 'card', 'data-key': 'secret' }, h('summary', {}, 'Set a password'),
      h('form', { class: 'fields', 'data-act': 'password', 'data-key': `password ${one.user_id} ${own.changes}` },
        h('div', {}, h('label', { for: 'new-password' }, 'New password'), h('input', { id: 'new-password', name: 'password', type: 'password', autocomplete: 'new-password', required: true, minlength: 8, 'aria-describedby': 'new-password-hint' }),
          h('span', { class: 'hint', id: 'new-password-hint' }, 'With it and its e-mail or id the user signs in here. Sessions of now go on.')),
        h('button', { class: 'primary', type: 'submit' }, 'Set'))) : null,
  ];
}

// --- What people do

export const acts = {
  copy,
  'made-done': () => { own.made = null; },
  search(data) {
    const given = Object.entries(data).map(([name, value]) => [name, value.trim()]).filter(([, value]) => value);
    location.hash = given.length ? `#/users?${new URLSearchParams(given)}` : '#/users';
  },
  page({ page }) { location.hash = `#/users?${new URLSearchParams(Object.entries({ ...own.filter, page }).filter(([, value]) => value))}`; },
  async make(data) {
    await attempt(own, async () => {
      const made = await api.post('user/new', { ...filled(NEW, data), user_role: data.user_role, auto_create_key: Boolean(data.with_key) });
      toast(`The user ${nameOf(made)} was made.`);
      own.made = made.key ? made : null;
      await read();
      window.scrollTo(0, 0);
    });
  },
  async save(data) {
    await attempt(own, async () => {
      const one = own.open.user_info;
      const body = changed(OWN_FIELDS.user, data, one);
      if (data.user_role !== one.user_role) body.user_role = data.user_role;
      if (!Object.keys(body).length) { toast('Nothing was changed.'); return; }
      await api.post('user/update', { user_id: own.id, ...body });
      await open();
      toast(`Saved: ${Object.keys(body).join(', ')}.`);
    });
  },
  async password({ password }) {
    await attempt(own, async () => {
      await api.post('user/update', { user_id: own.id, password });
      own.changes += 1;
      toast('The password is set.');
    });
  },
  async remove() {
    const name = nameOf(own.open.user_info);
    if (!await confirm({ title: `Delete ${name}?`, lines: [`Its ${plural(own.open.keys.length, 'key')} and memberships go with it. This cannot be undone.`], act: 'Delete', danger: true })) return;
    await attempt(own, async () => {
      await api.post('user/delete', { user_ids: [own.id] });
      toast(`${name} is deleted.`);
      location.hash = '#/users';
    });
  },
};
