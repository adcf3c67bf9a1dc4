// What the pages of keys, teams and users share: their fields, budgets as bars, what is shown once, and forms that send what was changed.

import * as api from './api.js';
import { toast } from './ask.js';
import { h } from './dom.js';
import { count, moment, none, plural, usd } from './format.js';

const list = (text) => text.split(/[\n,]/).map((one) => one.trim()).filter(Boolean);
const whole = (text) => (/^\d+$/.test(text.trim()) ? Number(text) : text.trim());
const dollars = (text) => (text.trim() !== '' && Number.isFinite(Number(text)) ? Number(text) : text.trim());

/** How each kind of field is written in a form, and read from it. What cannot be read is sent as it is: the gateway says what is wrong. */
const KINDS = {
  text: { shows: (value) => value ?? '', reads: (text) => text.trim(), none: null },
  list: { shows: (value) => (value || []).join(', '), reads: list, none: [] },
  count: { shows: (value) => (value ?? '') + '', reads: whole, none: null },
  usd: { shows: (value) => (value ?? '') + '', reads: dollars, none: null },
};

const MODELS = ['models', 'Models', 'list', 'names, patterns or access groups, with commas; empty is every model'];
const LIMITS = [
  ['max_budget', 'Budget, USD', 'usd', 'empty is none'],
  ['budget_duration', 'Budget begins anew after', 'text', '1d, 7d, 30d, 1mo; empty is never'],
  ['rpm_limit', 'Requests a minute', 'count', ''],
  ['tpm_limit', 'Tokens a minute', 'count', ''],
  ['max_parallel_requests', 'Calls in flight', 'count', ''],
];
export const OWN_FIELDS = {
  key: [['key_alias', 'Alias', 'text', 'a name that no other key has'], MODELS, ...LIMITS, ['duration', 'Ends after', 'text', '12h, 90d; -1 is never']],
  team: [['team_alias', 'Name', 'text', ''], MODELS, ...LIMITS],
  user: [['user_email', 'E-mail', 'text', ''], ['user_alias', 'Name', 'text', ''], MODELS, ...LIMITS],
};

/** The fields of a form. `row` is what they show, `name` makes their ids. */
export function fields(name, wanted, row = {}) {
  return wanted.map(([field, label, kind, hint]) => h('div', { 'data-key': field },
    h('label', { for: `${name}-${field}` }, label),
    h('input', {
      id: `${name}-${field}`, name: field, autocomplete: 'off', spellcheck: 'false', value: KINDS[kind].shows(row[field]) || null,
      inputmode: kind === 'count' ? 'numeric' : kind === 'usd' ? 'decimal' : null, 'aria-describedby': hint ? `${name}-${field}-hint` : null,
    }),
    hint ? h('span', { class: 'hint', id: `${name}-${field}-hint` }, hint) : null));
}

/** What a form says, without what is empty. */
export function filled(wanted, data) {
  const body = {};
  for (const [field, , kind] of wanted) {
    if ((data[field] || '').trim()) body[field] = KINDS[kind].reads(data[field]);
  }
  return body;
}

/** What a form says otherwise than `row`. */
export function changed(wanted, data, row) {
  const body = {};
  for (const [field, , kind] of wanted) {
    const { shows, reads, none: empty } = KINDS[kind];
    const text = (data[field] ?? '').trim();
    if (text !== String(shows(row[field])).trim()) body[field] = text ? reads(text) : empty;
  }
  return body;
}

// --- Pictures and words

/** A budget as a bar with its text. `reserved` is what calls in flight may cost. */
export function budget({ spend, max_budget: max, budget_duration: period, budget_reset_at: ends, reserved = 0, soft_budget: soft = null }) {
  const spent = spend || 0;
  if (max === null || max === undefined) return h('div', { class: 'budget' }, h('span', {}, `${usd(spent)} spent`), h('span', { class: 'quiet' }, 'no budget'));
  const share = max > 0 ? spent / max : 1;
  const level = share >= 1 ? 'down' : (soft !== null && spent >= soft) || share >= 0.8 ? 'limited' : 'up';
  const word = share >= 1 ? 'spent' : share >= 0.8 ? 'nearly spent' : soft !== null && spent >= soft ? 'beyond its soft budget' : null;
  const wide = (value) => Math.min(100, Math.max(0, value * 100)).toFixed(1);
  return h('div', { class: `budget is-${level}` },
    h('span', {}, `${usd(spent)} of ${usd(max)}`, word ? h('strong', { class: 'word' }, ` ${word}`) : null),
    h('svg', { class: 'meter', viewBox: '0 0 100 4', preserveAspectRatio: 'none', role: 'img', 'aria-label': `${usd(spent)} of ${usd(max)} spent${reserved > 0 ? `, ${usd(reserved)} reserved` : ''}` },
      h('rect', { class: 'back', width: 100, height: 4 }),
      reserved > 0 ? h('rect', { class: 'reserved', width: wide((spent + reserved) / (max || 1)), height: 4 }) : null,
      h('rect', { class: 'fill', width: wide(share), height: 4 })),
    h('span', { class: 'quiet' }, [period ? `each ${period}` : null, ends ? `anew ${when(ends)}` : null, reserved > 0 ? `${usd(reserved)} reserved` : null].filter(Boolean).join(', ') || 'for good'));
}

/** A moment that a row has as text. */
export const when = (text) => {
  const at = Date.parse(text);
  return Number.isNaN(at) ? String(text) : moment(at);
};

export function limits(row) {
  const all = [[row.rpm_limit, 'requests/min'], [row.tpm_limit, 'tokens/min'], [row.max_parallel_requests, 'at once']]
    .filter(([value]) => value !== null && value !== undefined).map(([value, text]) => `${count(value)} ${text}`);
  return all.length ? all.join(', ') : none;
}

/** Models in few words; the whole list is in the title. */
export function modelsOf(names) {
  if (!names || !names.length) return 'every model';
  const shown = names.slice(0, 3).join(', ');
  return h('span', { title: names.slice(0, 100).join(', ') }, names.length > 3 ? `${shown} and ${names.length - 3} more` : shown);
}

// Characters that are not seen, or turn the text around them: a name must not look like another one.
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]/gu;

/** A name as text: cut after a while, with all of it in the title; what is not seen is marked. */
export function short(name, most = 60) {
  const text = String(name).replace(UNSEEN, '\ufffd');
  const all = [...text];
  return all.length > most ? h('span', { title: text.slice(0, 1000) }, `${all.slice(0, most).join('')}…`) : text;
}

/** A secret that is shown this once. */
export function once(own, { title, lines }) {
  return h('section', { class: 'card once', 'data-key': 'once', 'aria-label': title },
    h('h2', {}, title),
    h('label', { for: 'made' }, 'It is shown this once. Copy it now: the gateway keeps its hash only.'),
    h('div', { class: 'bar' }, h('input', { id: 'made', class: 'secret', readonly: true, value: own.made.key }),
      h('button', { class: 'primary', 'data-act': 'copy' }, 'Copy'), h('button', { 'data-act': 'made-done' }, 'Done')),
    lines.map((line) => h('p', { class: 'quiet' }, line)));
}

export async function copy() {
  const field = document.getElementById('made');
  field.focus();
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
    toast('Copied.');
  } catch (error) {
    toast('This browser does not let pages copy: press Ctrl+C, the key is selected.', 'bad');
  }
}

/** Links to the pages of a list. */
export function pager(at, last, total, what) {
  return h('div', { class: 'bar pager' }, h('span', { class: 'quiet' }, `${plural(total, what)}, page ${count(at)} of ${count(Math.max(1, last))}`),
    h('button', { 'data-act': 'page', 'data-page': at - 1, disabled: at <= 1 }, 'Previous'), h('button', { 'data-act': 'page', 'data-page': at + 1, disabled: at >= last }, 'Next'));
}

export const state = (level, word) => h('span', { class: 'light' }, h('span', { class: `dot is-${level}`, 'aria-hidden': 'true' }), word);

export const problem = (text) => (text ? h('p', { class: 'card notice is-down', role: 'alert', 'data-key': 'problem' }, text) : null);

/** Runs `work`; what the gateway refuses stays on the page in `own.problem`, because the form has what to correct. */
export async function attempt(own, work) {
  own.problem = null;
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof api.Refused) || error.status === 401 && !error.message.includes('not allowed')) throw error;
    own.problem = error.message;
    return null;
  }
}

/** Whether this session manages a team: its user is an admin there, and its key is of no other team. */
export function manages(team) {
  const { session } = api;
  if (session.may_act) return true;
  if (!team || !session.user || (session.team && session.team !== team.team_id)) return false;
  return (team.members_with_roles || []).some((one) => one.user_id === session.user && one.role === 'admin');
}
