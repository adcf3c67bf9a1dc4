// Incidents, and a timeline that can be scrubbed: what was broken at a moment, and what it hurt.

import * as api from './api.js';
import { h } from './dom.js';
import { cause, lasted, moment, names, plural, time } from './format.js';
import { shownGroups } from './judge.js';
import { readPast, spellsOf } from './past.js';

export const title = 'Incidents';

const own = { answer: null, history: null, hours: 24, at: 1000 };
const LANES = 14;
const STEPS = 1000;

export async function load() {
  const [answer, past] = await Promise.all([api.get('alerting/incidents'), readPast(own.hours)]);
  own.answer = answer;
  own.history = past;
}

export const refresh = load;

export function view({ overview }) {
  if (!own.answer || !overview) return h('p', { class: 'quiet' }, 'Loading…');
  const list = own.answer.incidents;
  return [
    h('h1', {}, 'Incidents'),
    timeline(overview),
    h('h2', {}, 'What happened'),
    list.length ? list.slice(0, 100).map(incident) : h('p', { class: 'card quiet' }, 'No incident. One opens when a deployment or a group stops serving; ', h('code', {}, 'alerting'), ' in the config says who is told.'),
  ];
}

function lanes(overview) {
  const all = shownGroups(overview).flatMap((group) => group.deployments.map((one) => ({ one, group })));
  const found = all.map(({ one, group }) => ({ one, group, list: spellsOf(own.history, one, overview) }));
  return found.filter(({ list }) => list.some((spell) => spell.level !== 'up' && spell.level !== 'unknown'));
}

function timeline(overview) {
  const { since } = own.history;
  const until = overview.unix_ms;
  const found = lanes(overview);
  const at = since + (until - since) * (own.at / STEPS);
  const width = 720;
  const scale = (ms) => ((ms - since) / (until - since)) * width;
  const shown = found.slice(0, LANES);
  const high = Math.max(1, shown.length) * 18 + 4;
  const bars = shown.map(({ one, list }, index) => h('g', {},
    h('title', {}, one.name),
    list.map(({ from, to, level }) => h('rect', {
      class: `s-${level}`, x: scale(from).toFixed(1), y: index * 18 + 4, width: Math.max(1.5, scale(to) - scale(from)).toFixed(1), height: 12,
    }))));
  const broken = found.filter(({ list }) => list.some(({ from, to, level }) => level !== 'up' && level !== 'unknown' && from <= at && at <= to));
  return h('section', { class: 'card timeline', 'data-key': 'timeline' },
    h('div', { class: 'bar' }, h('h2', {}, 'Timeline'),
      h('div', { class: 'choice', role: 'group', 'aria-label': 'Span' }, [[24, '24 h'], [168, '7 days'], [720, '30 days']].map(([hours, text]) => h('button', {
        'data-act': 'span', 'data-hours': hours, 'aria-pressed': String(own.hours === hours),
      }, text)))),
    found.length ? h('div', { class: 'lanes' },
      h('ul', { 'aria-hidden': 'true' }, shown.map(({ one }) => h('li', {}, one.name))),
      h('svg', { viewBox: `0 0 ${width} ${high}`, height: high, preserveAspectRatio: 'none', role: 'img', 'aria-label': `${plural(found.length, 'deployment')} had trouble in this time` },
        bars, h('line', { class: 'now', x1: scale(at).toFixed(1), x2: scale(at).toFixed(1), y1: 0, y2: high }))) : h('p', { class: 'quiet' }, 'Nothing was broken in this time, as far as it is known.'),
    found.length > LANES ? h('p', { class: 'quiet' }, `${found.length - LANES} more had trouble.`) : null,
    h('label', { for: 'scrub' }, `At ${moment(at)}`),
    h('input', { id: 'scrub', type: 'range', min: 0, max: STEPS, value: own.at, 'data-input': 'scrub', 'aria-valuetext': moment(at) }),
    h('p', { 'aria-live': 'polite' }, broken.length
      ? [h('strong', {}, names(broken.map(({ one }) => one.name), 6)), ` ${broken.length === 1 ? 'was' : 'were'} not up; hurt: ${names([...new Set(broken.map(({ group }) => group.name))], 6)}.`]
      : 'Nothing was broken.'));
}

function incident(one) {
  const down = one.is_open;
  const span = one.ended ? `${time(Date.parse(one.since))} to ${time(Date.parse(one.ended))} (${lasted((Date.parse(one.ended) - Date.parse(one.since)) / 1000)})`
    : `since ${moment(Date.parse(one.since))}`;
  return h('article', { class: `card problem is-${down ? 'down' : 'up'}`, 'data-key': one.id },
    h('h3', {}, h('span', { class: 'dot', 'aria-hidden': 'true' }), one.title),
    h('p', { class: 'quiet' }, `${one.severity}, ${down ? 'open' : 'over'}, ${span}`),
    h('dl', {},
      one.cause ? [h('dt', {}, 'Cause'), h('dd', {}, cause(one.cause))] : null,
      one.provider_message ? [h('dt', {}, 'Said'), h('dd', { class: 'said' }, one.provider_message)] : null,
      one.deployments.length ? [h('dt', {}, 'Deployments'), h('dd', {}, names(one.deployments, 8), one.more_deployments ? ` and ${one.more_deployments} more` : '')] : null,
      one.model_groups && one.model_groups.length ? [h('dt', {}, 'Groups'), h('dd', {}, names(one.model_groups, 8))] : null,
      one.requests ? [h('dt', {}, 'Requests'), h('dd', {}, typeof one.requests === 'object' ? Object.entries(one.requests).map(([name, value]) => `${name.replaceAll('_', ' ')}: ${value}`).join(', ') : String(one.requests))] : null,
      one.fix && down ? [h('dt', {}, 'Fix'), h('dd', {}, one.fix)] : null));
}

export const acts = {
  scrub({ value }) { own.at = Number(value); },
  async span({ hours }) {
    own.hours = Number(hours);
    await load();
  },
};
