// The frame: which page is shown, who may act, what is wrong at one look, and whether the picture is current.

import * as api from './api.js';
import { answer, toast } from './ask.js';
import { h, onAct, render } from './dom.js';
import { cause, lasted, moment, names, plural } from './format.js';
import { isServed, rescuers, shownGroups, troubles } from './judge.js';
import * as config from './config.js';
import * as explain from './explain.js';
import * as health from './health.js';
import * as incidents from './incidents.js';
import * as keys from './keys.js';
import * as models from './models.js';
import * as playground from './playground.js';
import * as requests from './requests.js';
import * as spend from './spend.js';
import * as teams from './teams.js';
import * as traffic from './traffic.js';
import * as users from './users.js';

const PAGES = { health, incidents, traffic, spend, requests, explain, playground, keys, teams, users, models, config };
const POLL_MS = 5000;
const EVENT_MS = 700;
const RENEW_MS = 300000;

/** What every page may read. */
const state = { overview: null, at: 0, lost: null, took: 0, query: {}, refresh, draw };

const element = (id) => document.getElementById(id);
let shown = null;
let loading = null;
let again = false;
let timer = null;
let used = Date.now();

function route() {
  const [name, text] = location.hash.replace(/^#\/?/, '').split('?');
  state.query = Object.fromEntries(new URLSearchParams(text || ''));
  if (pages()[name]) return name;
  return api.session.session === 'begun' && !seesAll() ? 'keys' : 'health';
}

/** The pages that this session may see: a key that does not see everything has those of its own things. */
function pages() {
  const { session, sees_all: seesAll } = api.session;
  return session !== 'begun' || seesAll ? PAGES : Object.fromEntries(Object.entries(PAGES).filter(([, page]) => page.forHolders));
}

const seesAll = () => api.session.session !== 'needed' && api.session.sees_all;

/** Draws the page and the frame from what is known. */
function draw() {
  drawFrame();
  const main = element('main');
  if (api.session.session === 'needed') {
    render(main, loginPage());
    return;
  }
  let page;
  try {
    page = PAGES[shown].view(state);
  } catch (error) {
    console.error(error);
    page = h('p', { class: 'card notice is-down', role: 'alert' }, `This page cannot be drawn: ${error.message}. Reload it; if that does not help, the gateway is newer or older than the page.`);
  }
  render(main, h('div', { 'data-key': shown, class: 'page' }, page));
}

async function go() {
  const before = shown;
  const next = route();
  const moved = next !== shown;
  if (PAGES[before] && PAGES[before].leave) PAGES[before].leave();
  shown = next;
  document.title = `${PAGES[shown].title} · Hale`;
  draw();
  if (moved) {
    element('main').focus({ preventScroll: true });
    window.scrollTo(0, 0);
    const here = element('nav').querySelector('[aria-current]');
    if (here) here.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }
  if (api.session.session !== 'needed') await load(PAGES[shown].load);
}

/** Runs `work` and draws; what fails is shown and never thrown. */
async function load(work) {
  if (!work) return;
  try {
    await work(state);
  } catch (error) {
    await failed(error);
  }
  draw();
}

async function failed(error) {
  if (error instanceof api.Refused && error.status === 401) {
    await api.refreshSession().catch(() => {});
    // What only a signed-in operator may see is not kept.
    if (api.session.session === 'needed') state.overview = null;
    draw();
    return;
  }
  if (error instanceof api.Refused) toast(error.message, 'bad');
  else lose();
}

function lose() {
  if (!state.lost) state.lost = Date.now();
}

/** Reads the overview; a second wish while one is on its way is done after it. */
async function refresh() {
  if (!seesAll()) {
    state.overview = null;
    state.lost = null;
    state.at = Date.now();
    return undefined;
  }
  if (loading) {
    again = true;
    return loading;
  }
  loading = (async () => {
    try {
      const began = performance.now();
      state.overview = whole(await api.get('ui/overview'));
      state.took = performance.now() - began;
      state.at = Date.now();
      state.lost = null;
      const page = PAGES[shown];
      if (page.refresh) await page.refresh(state);
    } catch (error) {
      await failed(error);
    }
    draw();
  })();
  await loading;
  loading = null;
  if (again) {
    again = false;
    soon();
  }
}

// What the overview leaves out of a deployment, because it is so of most.
const USUAL = {
  api_base: null, cause: null, error: null, hint: null, since_s: null, retry_after_s: null, provider_issued: false, credential: null,
  declared_at: '', in_flight: 0, waiting: 0, failures: {}, failures_in_a_row: 0, answered: 0, failed: 0,
  latency: { p50: null, p95: null, first_p50: null, first_p95: null },
};

function whole(overview) {
  for (const group of overview.groups) group.deployments = group.deployments.map((one) => ({ ...USUAL, ...one }));
  return overview;
}

function soon() {
  if (!timer) {
    timer = setTimeout(() => {
      timer = null;
      if (!document.hidden) refresh();
    }, Math.max(EVENT_MS, state.took * 4));
  }
}

async function listen() {
  for (;;) {
    if (!seesAll() || document.hidden) {
      await pause(1000);
      continue;
    }
    try {
      await api.events(undefined, (data) => {
        if (data) soon();
      });
    } catch (error) {
      if (error instanceof api.Refused && error.status === 401) await failed(error);
      await pause(3000);
    }
  }
}

const pause = (ms) => new Promise((done) => { setTimeout(done, ms); });

// --- The frame

function drawFrame() {
  const needed = api.session.session === 'needed';
  render(element('nav'), needed ? null : Object.entries(pages()).map(([name, page]) => h('a', {
    href: `#/${name}`, 'data-key': name, 'aria-current': name === shown ? 'page' : null,
  }, page.title)));
  render(element('account'), account());
  drawVerdict(needed);
  const lost = element('connection');
  lost.hidden = !state.lost;
  if (state.lost) {
    const since = state.at ? `This is the state of ${moment(state.at)}.` : 'Nothing is known yet.';
    render(lost, `The gateway does not answer. ${since} Trying again.`);
  }
  document.body.classList.toggle('is-lost', Boolean(state.lost));
  render(element('foot'), foot());
}

function account() {
  if (api.session.session === 'begun') {
    const { user_email: email, user, key, role } = api.session;
    const who = email || user || key;
    return [who ? h('span', { class: 'tag who', title: `${who}, ${role}` }, who) : null, h('button', { class: 'plain', 'data-act': 'logout' }, 'Sign out')];
  }
  if (api.session.session === 'open') {
    return h('span', { class: 'tag', title: 'Set general_settings.master_key to act from here.' }, 'read-only: no master key');
  }
  return null;
}

function foot() {
  const { overview } = state;
  if (!overview) return null;
  const others = overview.others.length;
  return [
    h('span', {}, `Hale ${overview.version}, up for ${lasted(overview.unix_ms / 1000 - overview.started_s)}`),
    h('span', {}, `strategy ${overview.strategy}`),
    h('span', {}, others ? `${plural(others + 1, 'replica')}, ${overview.sharing}; this is ${overview.replica}` : 'one replica'),
    h('span', {}, overview.probes_in_background ? 'probes in background' : 'no background probes'),
    h('span', {}, overview.has_store ? 'with a store' : 'no store: the past is what this process remembers'),
  ];
}

function drawVerdict(needed) {
  const target = element('verdict');
  const { overview } = state;
  if (needed || !overview) {
    target.className = 'verdict';
    render(target, null);
    return;
  }
  const all = troubles(overview);
  const down = all.filter((one) => one.light === 'down');
  const groups = shownGroups(overview);
  const dead = groups.filter((group) => group.deployments.length && !isServed(group));
  const fallen = dead.filter((group) => rescuers(overview, group).length);
  const lost = dead.filter((group) => !fallen.includes(group));
  const total = groups.reduce((sum, group) => sum + group.deployments.length, 0);
  const level = down.length ? 'down' : all.length ? 'limited' : total ? 'up' : 'off';
  target.className = `verdict is-${level}`;
  let text;
  if (down.length) {
    const broken = down.reduce((sum, one) => sum + one.rows.length, 0);
    const parts = down.slice(0, 3).map((one) => {
      const since = one.since_s ? ` for ${lasted(overview.unix_ms / 1000 - one.since_s)}` : '';
      return `${one.provider} (${names(one.rows.map((row) => row.one.name), 2)}): ${cause(one.cause) || 'down'}${since}`;
    });
    text = [h('strong', {}, `${broken} of ${plural(total, 'deployment')} down`), ` ${parts.join('; ')}.`,
      fallen.length ? ` ${names(fallen.map((group) => group.name))} ${fallen.length === 1 ? 'is' : 'are'} served by fallbacks.` : null,
      lost.length ? h('strong', {}, ` Nothing serves ${names(lost.map((group) => group.name))}.`) : ' Every group is still served.'];
  } else if (all.length) {
    text = [h('strong', {}, 'Served, with limits'), ` ${names(all.map((one) => `${one.provider}: ${cause(one.cause)}`))}.`];
  } else if (total) {
    text = [h('strong', {}, 'All is well'), ` ${plural(total, 'deployment')} in ${plural(groups.length, 'group')}.`];
  } else {
    text = [h('strong', {}, 'Nothing to serve'), ' The config has no deployments.'];
  }
  render(target, h('span', { class: 'dot', 'aria-hidden': 'true' }), h('span', {}, text));
}

function loginPage() {
  return [h('form', { class: 'card login', 'data-act': 'login', 'data-key': 'login' },
    h('h1', {}, 'Sign in'),
    h('label', { for: 'key' }, 'Key'),
    h('input', { id: 'key', name: 'key', type: 'password', autocomplete: 'current-password', required: true, autofocus: true }),
    h('p', { class: 'quiet' }, 'The master key, which is ', h('code', {}, 'general_settings.master_key'), ' of the config; or a key of your own: it shows what is yours. The session ends an hour after its last use.'),
    h('button', { class: 'primary', type: 'submit' }, 'Sign in')),
  h('details', { class: 'card with-password', 'data-key': 'with-password' }, h('summary', {}, 'Sign in with a password'),
    h('form', { class: 'fields', 'data-act': 'sign-in-password', 'data-key': 'password' },
      h('div', {}, h('label', { for: 'username' }, 'E-mail or user id'), h('input', { id: 'username', name: 'username', autocomplete: 'username', required: true })),
      h('div', {}, h('label', { for: 'password' }, 'Password'), h('input', { id: 'password', name: 'password', type: 'password', autocomplete: 'current-password', required: true })),
      h('button', { class: 'primary', type: 'submit' }, 'Sign in with the password')))];
}

/** Begins a session with what a form says. */
async function signIn(body, wrong) {
  try {
    await api.login(body);
  } catch (error) {
    toast(error instanceof api.Refused && ['invalid_api_key', 'wrong_password'].includes(error.reason) ? wrong : `Sign-in failed: ${error.message}`, 'bad');
    return;
  }
  element('toast').replaceChildren();
  shown = route();
  await refresh();
  await go();
}

// --- What people do

const ACTS = {
  confirm: () => answer('yes'),
  cancel: () => answer(''),
  login: ({ key }) => signIn({ key }, 'This is not a key of this gateway.'),
  'sign-in-password': ({ username, password }) => signIn({ username, password }, 'The name or the password is wrong.'),
  async logout() {
    await api.logout().catch(() => {});
    state.overview = null;
    draw();
  },
};

async function act(name, data, event) {
  const own = ACTS[name] || (PAGES[shown].acts || {})[name];
  if (!own) return;
  try {
    await own(data, event, state);
  } catch (error) {
    await failed(error);
  }
  draw();
}

async function start() {
  shown = route();
  onAct(act);
  window.addEventListener('hashchange', go);
  window.addEventListener('resize', () => draw());
  document.addEventListener('visibilitychange', () => { if (!document.hidden) refresh(); });
  for (const kind of ['pointerdown', 'keydown']) document.addEventListener(kind, () => { used = Date.now(); }, { passive: true });
  try {
    await api.refreshSession();
  } catch (error) {
    lose();
  }
  await go();
  if (api.session.session !== 'needed') await refresh();
  setInterval(() => {
    if (document.hidden) return;
    if (state.lost) api.refreshSession().then(refresh, draw);
    // A large gateway is read less often.
    else if (api.session.session !== 'needed' && Date.now() - state.at > state.took * 10) refresh();
  }, POLL_MS);
  // A session goes on only while it is used.
  setInterval(() => {
    if (api.session.session === 'begun' && Date.now() - used < RENEW_MS) api.refreshSession().catch(() => {});
  }, RENEW_MS);
  listen();
}

start();
