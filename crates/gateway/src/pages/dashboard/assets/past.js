// Changes of state, and the spells that they make of a deployment's time.

import * as api from './api.js';
import { spells } from './chart.js';

/** The changes of the last hours, by deployment and by credential, the newest first. */
export async function readPast(hours) {
  const past = await api.get(`ui/history?hours=${hours}`);
  const byDeployment = new Map();
  const byCredential = new Map();
  for (const change of past.changes) {
    const [map, key] = change.deployment ? [byDeployment, change.deployment] : [byCredential, change.credential];
    if (!map.has(key)) map.set(key, []);
    map.get(key).push(change);
  }
  return { since: past.since_ms, byDeployment, byCredential };
}

/** The changes of a deployment and of its credential, the newest first. */
function changesOf(past, one) {
  const mine = past.byDeployment.get(one.id) || [];
  const shared = (one.credential && past.byCredential.get(one.credential)) || [];
  if (!shared.length) return mine;
  const apart = shared.map((change) => ({ ...change, part: `credential ${change.part}` }));
  return [...mine, ...apart].sort((a, b) => b.at_ms - a.at_ms);
}

/** The spells of a deployment. What was before its first change, or before this process, is not known. */
export function spellsOf(past, one, overview) {
  const changes = changesOf(past, one);
  const oldest = changes.length ? changes[changes.length - 1].at_ms : Infinity;
  const knownSince = Math.min(oldest, overview.started_s * 1000);
  const nowSince = one.since_s ? one.since_s * 1000 : knownSince;
  return spells(changes, { since: past.since, knownSince, until: Math.max(overview.unix_ms, past.since + 1), now: one.light, nowSince });
}
