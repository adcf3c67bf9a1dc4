// The settings in force, each with what it is for, and the deployments that the config got wrong.

import * as api from './api.js';
import { h } from './dom.js';
import { shownGroups } from './judge.js';

export const title = 'Config';

const own = { settings: null, problem: null };

export async function load() {
  try {
    own.settings = await api.get('router/settings');
    own.problem = null;
  } catch (error) {
    if (!(error instanceof api.Refused) || error.status === 401) throw error;
    own.problem = error.message;
  }
}

export function view({ overview }) {
  const wrong = overview ? shownGroups(overview).flatMap((group) => group.deployments.filter((one) => one.state === 'misconfigured').map((one) => ({ group, one }))) : [];
  return [
    h('h1', {}, 'Config'),
    overview && overview.reloads_refused ? h('p', { class: 'card notice is-limited' }, `A changed config was refused ${overview.reloads_refused} times since the start; the one before it is in force. The log, and `, h('code', {}, 'hale check'), ', say why.') : null,
    h('section', { class: 'card', 'data-key': 'wrong' }, h('h2', {}, 'Deployments that cannot work'),
      wrong.length ? h('ul', { class: 'wrong' }, wrong.map(({ group, one }) => h('li', { 'data-key': one.id },
        h('code', {}, one.declared_at), ' ', h('strong', {}, one.name), ` of ${group.name}: ${one.error || 'misconfigured'}`, one.hint ? h('span', { class: 'quiet fix' }, `Fix: ${one.hint}`) : null)))
        : h('p', { class: 'quiet' }, 'None.')),
    own.problem ? h('p', { class: 'card quiet' }, own.problem) : null,
    own.settings ? settings() : null,
  ];
}

const shown = (value) => (value === null || value === undefined ? 'not set' : typeof value === 'object' ? JSON.stringify(value) : String(value));

/** Whether the config says something else than what would hold without it. */
const isChanged = (value, usual) => !['not set', '[]', '{}', usual].includes(value);

function settings() {
  return h('section', { class: 'card', 'data-key': 'settings' }, h('h2', {}, 'router_settings in force'),
    h('table', { class: 'members narrow' },
      h('thead', {}, h('tr', {}, ['Key', 'Value', 'Default', 'Meaning'].map((text) => h('th', { scope: 'col' }, text)))),
      h('tbody', {}, own.settings.fields.map((field) => {
        const value = shown(field.field_value);
        const usual = shown(field.field_default);
        return h('tr', { 'data-key': field.field_name, class: isChanged(value, usual) ? 'is-changed' : null },
          h('td', { 'data-label': 'Key', class: 'name' }, h('code', {}, field.field_name)),
          h('td', { 'data-label': 'Value' }, value), h('td', { 'data-label': 'Default' }, usual),
          h('td', { 'data-label': 'Meaning', class: 'meaning' }, field.field_description));
      }))));
}
