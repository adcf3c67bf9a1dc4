// Teams: a list by pages; one with its budget, members and keys; making, changing, blocking and deleting.

import * as api from './api.js';
import { confirm, toast } from './ask.js';
import { h } from './dom.js';
import { count, none, plural } from './format.js';
import { OWN_FIELDS, attempt, budget, changed, copy, fields, filled, limits, manages, modelsOf, pager, problem, short, state, when } from './tenant.js';

export const title = 'Teams';
export const forHolders = true;

const SIZE = 50;
/** A team with more keys is shown without the budgets of its members: they come with all keys. */
const KEYS_MAX = 1000;
const own = { answer: null, at: 1, alias: '', open: null, id: null, members: [], keys: 0, problem: null };

const WITH_SOFT = [...OWN_FIELDS.team, ['soft_budget', 'Soft budget, USD', 'usd', 'operators are told from here on']];
const NEW = [...WITH_SOFT.slice(0, 1), ['team_id', 'Id', 'text', 'empty: one is made'], ...WITH_SOFT.slice(1)];
const MEMBER = [['user_id', 'User id, or e-mail', 'text', 'one that is not there is made'], ['max_budget_in_team', 'Budget in the team, USD', 'usd', ''], ['budget_duration', 'Begins anew after', 'text', '1d, 30d; empty is never']];

export async function load({ query }) {
  own.problem = null;
  own.id = query.id || null;
  await api.routes();
  if (own.id) {
    await open();
    return;
  }
  Object.assign(own, { open: null, at: Number(query.page) || 1, alias: query.team_alias || '' });
  await read();
}

async function read() {
  own.answer = await api.get(api.query('v2/team/list', { page: own.at, page_size: SIZE, team_alias: own.alias }));
}

async function open() {
  const { id } = own;
  // One that is read again stays while it is.
  if (!own.open || own.open.team_id !== id) Object.assign(own, { open: null, members: [], keys: 0 });
  const found = await attempt(own, async () => {
    const [list, keys] = await Promise.all([api.get(api.query('v2/team/list', { team_id: own.id })), api.get(api.query('key/list', { team_id: own.id, size: 1 }))]);
    if (!list.teams.length) throw new api.Refused(404, { error: `No team has the id ${own.id}, or it is not yours.` });
    const members = keys.total_count <= KEYS_MAX ? (await api.get(api.query('team/info', { team_id: id }))).team_memberships : [];
    return { open: list.teams[0], keys: keys.total_count, members };
  });
  if (own.id === id) Object.assign(own, found || { open: null });
}

export function view() {
  if (own.id) return opened();
  return [
    h('h1', {}, 'Teams'), problem(own.problem),
    own.answer === null ? h('p', { class: 'quiet' }, 'Loading…') : [
      api.session.may_act ? h('details', { class: 'card', 'data-key': 'make', open: own.problem ? true : null }, h('summary', {}, 'New team'),
        h('form', { class: 'fields', 'data-act': 'make', 'data-key': `make ${own.made || ''}` }, fields('make', NEW), h('button', { class: 'primary', type: 'submit' }, 'Make the team'))) : null,
      h('form', { class: 'card search', 'data-act': 'search', 'data-key': `search ${own.alias}`, role: 'search', 'aria-label': 'Teams' },
        h('div', {}, h('label', { for: 'f-alias' }, 'Name, whole'), h('input', { id: 'f-alias', name: 'team_alias', autocomplete: 'off', value: own.alias || null })), h('button', { class: 'primary', type: 'submit' }, 'Search')),
      table(),
    ],
  ];
}

const nameOf = (team) => team.team_alias || team.team_id;

function table() {
  const { teams, total, page, total_pages: last } = own.answer;
  if (!teams.length) return h('p', { class: 'card quiet' }, own.alias ? 'No team has that name.' : api.session.may_act ? 'No teams yet. A team shares a budget, limits and models among its keys.' : 'Your key is in no team.');
  return h('section', { class: 'card', 'data-key': 'table' }, h('table', { class: 'members narrow' },
    h('caption', { class: 'visually-hidden' }, 'Teams'),
    h('thead', {}, h('tr', {}, ['Team', 'State', 'Budget', 'Limits', 'Models', 'Members'].map((text) => h('th', { scope: 'col' }, text)))),
    h('tbody', {}, teams.map((team) => h('tr', { 'data-key': team.team_id },
      h('td', { 'data-label': 'Team', class: 'name' }, h('a', { href: `#/teams?${new URLSearchParams({ id: team.team_id })}` }, h('bdi', {}, short(nameOf(team), 48)))),
      h('td', { 'data-label': 'State', class: 'state' }, state(team.blocked ? 'down' : 'up', team.blocked ? 'blocked' : 'active')),
      h('td', { 'data-label': 'Budget', class: 'name' }, budget(team)), h('td', { 'data-label': 'Limits' }, limits(team)), h('td', { 'data-label': 'Models' }, modelsOf(team.models)),
      h('td', { 'data-label': 'Members' }, count((team.members_with_roles || []).length)))))), pager(page, last, total, 'team'));
}

// --- One team

function opened() {
  const back = h('p', {}, h('a', { href: '#/teams' }, 'All teams'));
  const team = own.open;
  if (!team) return [h('h1', {}, 'Team'), back, problem(own.problem), own.problem ? null : h('p', { class: 'quiet' }, 'Loading…')];
  const may = api.session.may_act;
  return [
    h('div', { class: 'bar' }, h('h1', {}, h('bdi', {}, short(nameOf(team), 120))), back), problem(own.problem),
    h('div', { class: 'columns' },
      h('section', { class: 'card', 'data-key': 'about', 'aria-label': 'The team' },
        h('dl', {}, fact('State', state(team.blocked ? 'down' : 'up', team.blocked ? 'blocked: all of its keys are refused' : 'active')),
          fact('Id', h('code', {}, short(team.team_id, 80))), fact('Models', modelsOf(team.models)), fact('Limits', limits(team)),
          fact('Keys', h('a', { href: `#/keys?${new URLSearchParams({ team_id: team.team_id })}` }, plural(own.keys, 'key'))), fact('Made', team.created_at ? when(team.created_at) : none)),
        may ? h('div', { class: 'buttons' }, h('button', { 'data-act': team.blocked ? 'unblock' : 'block' }, team.blocked ? 'Unblock' : 'Block'), h('button', { class: 'danger', 'data-act': 'remove' }, 'Delete')) : null),
      h('section', { class: 'card', 'data-key': 'budget', 'aria-label': 'Its budget' }, h('h2', {}, 'Budget'), budget(team))),
    members(team),
    manages(team) ? h('details', { class: 'card', 'data-key': 'join' }, h('summary', {}, 'Add a member'),
      h('form', { class: 'fields', 'data-act': 'join', 'data-key': `join ${(team.members_with_roles || []).length}` }, fields('join', MEMBER),
        h('div', {}, h('label', { for: 'join-role' }, 'Role'), h('select', { id: 'join-role', name: 'role' }, [['user', 'user'], ['admin', 'admin: manages the keys of this team']].map(([value, text]) => h('option', { value }, text)))),
        h('button', { class: 'primary', type: 'submit' }, 'Add'))) : null,
    may ? h('details', { class: 'card', 'data-key': 'edit', open: own.problem ? true : null }, h('summary', {}, 'Change budget, limits and models'),
      h('form', { class: 'fields', 'data-act': 'save', 'data-key': `edit ${team.team_id} ${team.updated_at}` }, fields('edit', WITH_SOFT, team), h('button', { class: 'primary', type: 'submit' }, 'Save'))) : null,
  ];
}

const fact = (name, ...value) => [h('dt', {}, name), h('dd', {}, value)];

function members(team) {
  const roster = team.members_with_roles || [];
  if (!roster.length) return h('p', { class: 'card quiet', 'data-key': 'members' }, 'No members.');
  const rows = new Map(own.members.map((one) => [one.user_id, one]));
  const removes = manages(team) && api.has('/team/member_delete');
  return h('section', { class: 'card', 'data-key': 'members' }, h('h2', {}, 'Members'), h('table', { class: 'members narrow' },
    h('thead', {}, h('tr', {}, ['User', 'Role', 'Spent in the team', removes ? 'Actions' : null].filter(Boolean).map((text) => h('th', { scope: 'col' }, text)))),
    h('tbody', {}, roster.slice(0, 500).map((one) => {
      const row = rows.get(one.user_id);
      const id = one.user_id || one.user_email || '';
      return h('tr', { 'data-key': id },
        h('td', { 'data-label': 'User', class: 'name' }, h('bdi', {}, short(id)), one.user_email && one.user_email !== id ? h('span', { class: 'quiet' }, short(one.user_email)) : null),
        h('td', { 'data-label': 'Role' }, one.role), h('td', { 'data-label': 'Spent in the team' }, row ? budget({ ...(row.litellm_budget_table || {}), spend: row.spend }) : none),
        removes ? h('td', { 'data-label': 'Actions', class: 'acts' }, h('div', { class: 'buttons' }, h('button', { 'data-act': 'part', 'data-user': one.user_id || '', 'data-email': one.user_email || '', 'aria-label': `Remove ${id} from the team` }, 'Remove'))) : null);
    }))), roster.length > 500 ? h('p', { class: 'quiet' }, `and ${count(roster.length - 500)} more`) : null);
}

// --- What people do

async function blocked(act, lines) {
  const name = nameOf(own.open);
  const verb = act === 'block' ? 'Block' : 'Unblock';
  if (!await confirm({ title: `${verb} ${name}?`, lines, act: verb, danger: act === 'block' })) return;
  await attempt(own, async () => {
    await api.post(`team/${act}`, { team_id: own.id });
    toast(`${name} is ${act}ed.`);
    await open();
  });
}

export const acts = {
  copy,
  search({ team_alias: alias }) { location.hash = alias.trim() ? `#/teams?${new URLSearchParams({ team_alias: alias.trim() })}` : '#/teams'; },
  page({ page }) { location.hash = `#/teams?${new URLSearchParams({ page, ...(own.alias ? { team_alias: own.alias } : {}) })}`; },
  async make(data) {
    await attempt(own, async () => {
      const made = await api.post('team/new', filled(NEW, data));
      own.made = made.team_id;
      toast(`The team ${nameOf(made)} was made.`);
      location.hash = `#/teams?${new URLSearchParams({ id: made.team_id })}`;
    });
  },
  async save(data) {
    await attempt(own, async () => {
      const body = changed(WITH_SOFT, data, own.open);
      if (!Object.keys(body).length) { toast('Nothing was changed.'); return; }
      await api.post('team/update', { team_id: own.id, ...body });
      await open();
      toast(`Saved: ${Object.keys(body).join(', ')}.`);
    });
  },
  async join(data) {
    await attempt(own, async () => {
      const { user_id: named, ...more } = filled(MEMBER, data);
      const member = named && named.includes('@') ? { user_email: named } : { user_id: named };
      await api.post('team/member_add', { team_id: own.id, member: { ...member, role: data.role }, ...more });
      await open();
      toast(`${named} is in the team.`);
    });
  },
  async part({ user, email }) {
    if (!await confirm({ title: `Remove ${user || email} from ${nameOf(own.open)}?`, lines: ['The user is in the team no more, and its keys of the team end as the gateway says.'], act: 'Remove', danger: true })) return;
    await attempt(own, async () => {
      await api.post('team/member_delete', { team_id: own.id, ...(user ? { user_id: user } : { user_email: email }) });
      await open();
      toast(`${user || email} was removed.`);
    });
  },
  block: () => blocked('block', [`Requests of all its ${plural(own.keys, 'key')} are refused from now on, and their streams end.`, 'It can be unblocked.']),
  unblock: () => blocked('unblock', ['Requests of its keys are let in again.']),
  async remove() {
    const name = nameOf(own.open);
    if (!await confirm({ title: `Delete ${name}?`, lines: [`Its ${plural(own.keys, 'key')} and memberships go with it. This cannot be undone.`, 'What it spent stays in the reports.'], act: 'Delete', danger: true })) return;
    await attempt(own, async () => {
      await api.post('team/delete', { team_ids: [own.id] });
      toast(`${name} is deleted.`);
      location.hash = '#/teams';
    });
  },
};
