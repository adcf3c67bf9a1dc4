// Requests to the gateway that serves this page. Paths are relative to it, so that a prefix of a proxy stays.

const BASE = new URL('../', document.baseURI);

/** What is known of the session: `open`, `needed` or `begun`; its token; whether this browser may act. */
const NOTHING = { session: 'needed', may_act: false, sees_all: false, token: null, until_s: null, role: null, user: null, user_email: null, team: null, key: null };
export const session = { ...NOTHING };

export class Refused extends Error {
  constructor(status, body) {
    super(messageOf(body) || `the gateway answered ${status}`);
    this.status = status;
    this.body = body;
    this.reason = body && body.error ? body.error.reason : null;
  }
}

function messageOf(body) {
  const error = body && (body.error || body.detail);
  if (!error) return null;
  if (typeof error === 'string') return error;
  return error.message || error.error || null;
}

export function request(path, options = {}) {
  const headers = { accept: 'application/json', ...options.headers };
  if (session.token) headers['x-hale-csrf'] = session.token;
  if (options.body !== undefined) headers['content-type'] = 'application/json';
  return fetch(new URL(path, BASE), {
    credentials: 'same-origin', cache: 'no-store', redirect: 'error', ...options, headers,
    body: options.body === undefined ? undefined : JSON.stringify(options.body),
  });
}

async function json(path, options) {
  const answer = await request(path, options);
  const body = await answer.json().catch(() => null);
  if (!answer.ok) throw new Refused(answer.status, body);
  return body;
}

/** An answer as it is. */
export async function text(path) {
  const answer = await request(path, { headers: { accept: 'text/csv' } });
  if (!answer.ok) throw new Refused(answer.status, await answer.json().catch(() => null));
  return answer.text();
}

export const get = (path) => json(path);
export const post = (path, body = {}) => json(path, { method: 'POST', body });

export const remove = (path) => json(path, { method: 'DELETE' });

/** A path with parameters; empty ones are left out. */
export function query(path, params) {
  const given = Object.entries(params).filter(([, value]) => value !== '' && value !== null && value !== undefined);
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}

let known = null;

/** Reads once which pages the gateway has. */
export async function routes() {
  if (!known) known = new Set((await get('routes')).routes.map((route) => route.path));
}

/** Whether the gateway has a page. */
export const has = (path) => Boolean(known && known.has(path));

/** Asks which session this browser has. */
export async function refreshSession() {
  Object.assign(session, NOTHING, await get('ui/session'));
  return session;
}

export async function login(body) {
  Object.assign(session, await post('ui/login', body));
}

export async function logout() {
  Object.assign(session, NOTHING, await post('ui/logout'));
  await refreshSession();
}

/** Reads server-sent events until the stream ends. */
export async function events(signal, onEvent) {
  const answer = await request('ui/events', { headers: { accept: 'text/event-stream' }, signal });
  if (!answer.ok) throw new Refused(answer.status, await answer.json().catch(() => null));
  await readEvents(answer, onEvent);
}

/** Reads the events of an answer, each as its data. */
export async function readEvents(answer, onEvent) {
  const reader = answer.body.getReader();
  const decoder = new TextDecoder();
  let text = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += decoder.decode(value, { stream: true });
    const blocks = text.split(/\r?\n\r?\n/);
    text = blocks.pop();
    for (const block of blocks) {
      const data = block.split(/\r?\n/).filter((line) => line.startsWith('data:')).map((line) => line.slice(5).trimStart());
      if (data.length) onEvent(data.join('\n'));
      else onEvent(null);
    }
  }
}
