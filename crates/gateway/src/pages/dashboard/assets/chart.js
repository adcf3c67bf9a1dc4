// Pictures as SVG: strips of uptime, and bars over time. Each has a text that says the same.

import { h } from './dom.js';
import { count, date, hour, percent } from './format.js';

const CLASSES = { up: 's-up', limited: 's-limited', down: 's-down', off: 's-off', unknown: 's-unknown' };

/** What a change makes of its part. */
function levelOf(to) {
  if (to === 'cooldown' || to === 'unhealthy') return 'down';
  if (to === 'rate_limited') return 'limited';
  if (to === 'disabled') return 'off';
  return 'up';
}

const WORST = ['up', 'limited', 'down', 'off'];
const worst = (levels) => levels.reduce((a, b) => (WORST.indexOf(b) > WORST.indexOf(a) ? b : a), 'up');

/**
 * Spells of one deployment, the oldest first: `{from, to, level}`, milliseconds. `changes` are its own, the newest first;
 * `now` is what it is at the end, and `nowSince` since when.
 */
export function spells(changes, { since, knownSince, until, now, nowSince }) {
  const parts = {};
  // What a part was before its first change is what that change left.
  for (const change of changes) parts[change.part] = levelOfChange(change, change.from);
  const begin = Math.max(since, knownSince);
  const found = [];
  if (knownSince > since) found.push({ from: since, to: Math.min(knownSince, until), level: 'unknown' });
  let at = begin;
  for (const change of [...changes].reverse()) {
    const when = Math.min(Math.max(change.at_ms, begin), until);
    if (when > at) found.push({ from: at, to: when, level: worst(Object.values(parts)) });
    at = when;
    parts[change.part] = levelOfChange(change, change.to);
  }
  const last = worst(Object.values(parts));
  // Traffic may say more than changes of state do: a lone deployment that fails has none.
  const turned = last === 'up' && (now === 'down' || now === 'limited' || now === 'off') && nowSince ? Math.max(at, nowSince) : until;
  if (turned > at) found.push({ from: at, to: turned, level: last });
  if (until > turned) found.push({ from: turned, to: until, level: now });
  return joined(found);
}

function levelOfChange(change, state) {
  const level = levelOf(state);
  return level === 'down' && change.cause === 'rate_limited' ? 'limited' : level;
}

function joined(list) {
  const out = [];
  for (const spell of list) {
    const before = out[out.length - 1];
    if (before && before.level === spell.level) before.to = spell.to;
    else out.push({ ...spell });
  }
  return out;
}

/** The share of the known time in which it was up or limited. */
export function uptime(list) {
  let known = 0;
  let up = 0;
  for (const { from, to, level } of list) {
    if (level === 'unknown' || level === 'off') continue;
    known += to - from;
    if (level !== 'down') up += to - from;
  }
  return known ? up / known : null;
}

/** A strip of time. Spells that are too short to see are drawn wide enough. */
export function strip(list, { since, until, label }) {
  const width = 240;
  const scale = width / (until - since);
  const paths = {};
  const order = [...list].sort((a, b) => WORST.indexOf(a.level) - WORST.indexOf(b.level));
  for (const { from, to, level } of order) {
    const x = (from - since) * scale;
    const w = Math.max((to - from) * scale, level === 'down' || level === 'limited' ? 1.6 : 0.1);
    paths[level] = `${paths[level] || ''}M${x.toFixed(1)} 0h${w.toFixed(1)}v14h-${w.toFixed(1)}z`;
  }
  const share = uptime(list);
  const downs = list.filter((spell) => spell.level === 'down').length;
  const said = share === null ? 'nothing known' : `${percent(share)} up, ${count(downs)} ${downs === 1 ? 'outage' : 'outages'}`;
  return h('svg', { class: 'strip', viewBox: `0 0 ${width} 14`, preserveAspectRatio: 'none', role: 'img', 'aria-label': `${label}: ${said}` },
    h('title', {}, `${label}: ${said}`),
    Object.entries(paths).map(([level, d]) => h('path', { class: CLASSES[level], d })));
}

/** Bars over time: `points` of `{at, parts}`, where `parts` are values by class, drawn on top of each other. */
export function bars(points, { width, height = 150, step, label, shows = count }) {
  const left = 62;
  const bottom = 20;
  const total = (point) => Object.values(point.parts).reduce((a, b) => a + b, 0);
  const top = niceTop(Math.max(1e-9, ...points.map(total)));
  const inner = height - bottom - 8;
  const each = (width - left) / Math.max(1, points.length);
  const y = (value) => 8 + inner - (value / top) * inner;
  const rects = points.map((point, index) => {
    let sum = 0;
    const x = left + index * each;
    const drawn = Object.entries(point.parts).filter(([, value]) => value > 0).map(([name, value]) => {
      sum += value;
      const high = Math.max((value / top) * inner, 1);
      return h('rect', { class: name, x: x.toFixed(1), y: y(sum).toFixed(1), width: Math.max(each - 1, 0.8).toFixed(1), height: high.toFixed(1) });
    });
    const when = step >= 86400000 ? date(point.at) : hour(point.at);
    return h('g', {}, h('title', {}, `${when}: ${shows(total(point))}`), drawn);
  });
  const every = Math.max(1, Math.ceil(points.length / Math.max(2, Math.floor(width / 110))));
  const marks = points.map((point, index) => (index % every === 0 && left + index * each < width - 36
    ? h('text', { class: 'axis', x: (left + index * each).toFixed(1), y: height - 5 }, step >= 86400000 ? date(point.at) : hour(point.at))
    : null));
  const lines = [0, top / 2, top].map((value) => [
    h('line', { class: 'grid', x1: left, x2: width, y1: y(value).toFixed(1), y2: y(value).toFixed(1) }),
    h('text', { class: 'axis end', x: left - 6, y: (y(value) + 4).toFixed(1) }, value ? shows(value) : '0'),
  ]);
  return h('svg', { class: 'bars', viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label }, lines, rects, marks);
}

function niceTop(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  const step = [1, 2, 5, 10].find((one) => one * power >= value);
  return step * power;
}
