// What is asked of people and told to them: confirmations, and the line at the bottom.

import { h, render } from './dom.js';

const element = (id) => document.getElementById(id);

export function toast(text, kind = 'good') {
  const target = element('toast');
  target.className = `toast is-${kind}`;
  render(target, text);
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => render(target, null), 8000);
}

/** Asks first. Resolves to whether it is wanted. */
export function confirm({ title, lines, act, danger }) {
  const dialog = element('dialog');
  render(dialog, h('form', { method: 'dialog', 'data-key': title },
    h('h2', { id: 'dialog-title' }, title),
    lines.map((line) => h('p', {}, line)),
    h('div', { class: 'buttons' },
      h('button', { type: 'button', 'data-act': 'cancel', autofocus: true }, 'Cancel'),
      h('button', { type: 'button', class: danger ? 'danger' : 'primary', 'data-act': 'confirm' }, act))));
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((done) => {
    dialog.addEventListener('close', () => done(dialog.returnValue === 'yes'), { once: true });
  });
}

/** Ends the confirmation that is open. */
export const answer = (value) => element('dialog').close(value);
