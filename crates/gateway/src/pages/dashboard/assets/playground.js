// A prompt to a group, streamed, with the route that it took and what it cost. It is a request like any other, and is paid for.

import * as api from './api.js';
import { h } from './dom.js';
import { count, ms, usd } from './format.js';

export const title = 'Playground';
export const forHolders = true;

/** The models of a key that does not see the overview. */
export async function load({ overview }) {
  if (!overview) own.models = (await api.get('v1/models')).data.map((model) => model.id);
}

const own = { models: [], text: '', facts: null, problem: null, busy: false, stop: null };

export function view({ overview }) {
  const groups = overview ? overview.groups.filter((group) => group.is_listed).map((group) => group.name) : own.models;
  return [
    h('h1', {}, 'Playground'),
    h('form', { class: 'card', 'data-act': 'send', 'data-key': 'prompt' },
      h('label', { for: 'p-model' }, 'Model'),
      h('input', { id: 'p-model', name: 'model', list: 'p-groups', required: true, autocomplete: 'off', placeholder: groups[0] || '' }),
      h('datalist', { id: 'p-groups' }, groups.slice(0, 500).map((name) => h('option', { value: name }))),
      h('label', { for: 'p-text' }, 'Prompt'),
      h('textarea', { id: 'p-text', name: 'prompt', rows: 4, required: true }),
      h('p', { class: 'quiet' }, 'This is a real request: the provider charges for it.'),
      h('div', { class: 'buttons' },
        h('button', { class: 'primary', type: 'submit', disabled: own.busy }, 'Send'),
        own.busy ? h('button', { type: 'button', 'data-act': 'stop' }, 'Stop') : null)),
    own.problem ? h('p', { class: 'card notice is-down', role: 'alert' }, own.problem) : null,
    own.text || own.busy ? h('section', { class: 'card', 'data-key': 'answer', 'aria-label': 'Answer', 'aria-busy': String(own.busy) },
      h('h2', {}, 'Answer'), h('p', { class: 'answer' }, own.text || '…')) : null,
    own.facts ? h('section', { class: 'card', 'data-key': 'facts' }, h('h2', {}, 'How it went'), h('dl', {},
      Object.entries(own.facts).filter(([, value]) => value).map(([name, value]) => [h('dt', {}, name), h('dd', {}, value)]))) : null,
  ];
}

async function send(model, prompt, draw) {
  Object.assign(own, { text: '', facts: null, problem: null, busy: true, stop: new AbortController() });
  draw();
  const began = performance.now();
  try {
    const answer = await api.request('v1/chat/completions', {
      method: 'POST', signal: own.stop.signal, headers: { 'x-hale-explain': '1' },
      body: { model, stream: true, stream_options: { include_usage: true }, messages: [{ role: 'user', content: prompt }] },
    });
    const header = (name) => answer.headers.get(name);
    own.facts = { Route: header('x-hale-route'), Deployment: header('x-litellm-model-id'), 'Call id': header('x-litellm-call-id') };
    if (!answer.ok) throw new api.Refused(answer.status, await answer.json().catch(() => null));
    await api.readEvents(answer, (data) => {
      if (data && data !== '[DONE]') take(JSON.parse(data), began);
      draw();
    });
    own.facts['Whole answer'] = ms(performance.now() - began);
  } catch (error) {
    if (error.name !== 'AbortError') own.problem = error.message;
  }
  own.busy = false;
}

function take(chunk, began) {
  if (chunk.error) throw new Error(chunk.error.message || 'the stream broke');
  const piece = chunk.choices && chunk.choices[0] && chunk.choices[0].delta && chunk.choices[0].delta.content;
  if (piece && !own.text) own.facts['First content'] = ms(performance.now() - began);
  if (piece) own.text += piece;
  const { usage } = chunk;
  if (usage) {
    own.facts.Tokens = `${count(usage.prompt_tokens)} in, ${count(usage.completion_tokens)} out`;
    if (usage.cost !== undefined) own.facts.Cost = usd(usage.cost);
  }
}

export const acts = {
  send: ({ model, prompt }, _, { draw }) => (own.busy ? null : send(model.trim(), prompt, draw)),
  stop() { if (own.stop) own.stop.abort(); },
};
