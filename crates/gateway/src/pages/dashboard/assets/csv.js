// Rows as a file that the browser keeps.

import { h } from './dom.js';

/** A field of CSV. A text that a spreadsheet would run as a formula is quoted as text. */
function field(value) {
  let text = String(value);
  if (/^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text))) text = `'${text}`;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Rows as text. */
export const written = (rows) => rows.map((row) => row.map(field).join(',')).join('\r\n');

/** Gives the browser a file. */
export function save(name, text) {
  const url = URL.createObjectURL(new Blob([text], { type: 'text/csv' }));
  const link = h('a', { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}
