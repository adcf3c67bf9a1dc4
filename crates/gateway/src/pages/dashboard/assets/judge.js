// What the overview means: what is broken, and which groups are still served.

/**
 * The groups to show. A deployment may be in a second group that clients can name too, that of its model; it is shown in the
 * one of the config.
 */
export function shownGroups(overview) {
  const listed = overview.groups.filter((group) => group.is_listed);
  const known = new Set(listed.flatMap((group) => group.deployments.map((one) => one.id)));
  const others = overview.groups.filter((group) => !group.is_listed && group.deployments.some((one) => !known.has(one.id)));
  return [...listed, ...others];
}

/** Everything of the overview that is not as it should be, worst first. */
export function troubles(overview) {
  const found = new Map();
  for (const group of shownGroups(overview)) {
    for (const one of group.deployments) {
      if (one.light !== 'down' && one.light !== 'limited') continue;
      const key = JSON.stringify([one.light, one.provider, one.cause]);
      if (!found.has(key)) found.set(key, { light: one.light, provider: one.provider, cause: one.cause, since_s: null, rows: [] });
      const trouble = found.get(key);
      trouble.rows.push({ group, one });
      if (one.since_s && (!trouble.since_s || one.since_s < trouble.since_s)) trouble.since_s = one.since_s;
    }
  }
  const rank = (trouble) => (trouble.light === 'down' ? 0 : 1);
  return [...found.values()].sort((a, b) => rank(a) - rank(b) || b.rows.length - a.rows.length);
}

export const isServed = (group) => group.deployments.some((one) => one.is_routed && one.light !== 'down');

/** The groups with these names, by name, that a request of `group` goes to when all of its own deployments fail. */
export function rescuers(overview, group) {
  const named = new Map(overview.groups.map((one) => [one.name, one]));
  return group.fallbacks.filter((name) => named.has(name) && isServed(named.get(name)));
}
