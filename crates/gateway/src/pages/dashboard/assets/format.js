// How numbers and times are written.

const number = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' });
const seconds = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const exact = new Intl.DateTimeFormat('en-GB', {
  year: 'numeric', month: 'short', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit',
});
const dated = new Intl.DateTimeFormat('en-GB', { month: 'short', day: '2-digit', hour: '2-digit', minute: '2-digit' });
const day = new Intl.DateTimeFormat('en-GB', { month: 'short', day: '2-digit' });

export const none = '–';

export function count(value) {
  if (value === null || value === undefined) return none;
  if (value >= 1e6) return `${number.format(value / 1e6)} M`;
  if (value >= 1e4) return `${number.format(value / 1e3)} k`;
  return number.format(value);
}

export function ms(value) {
  if (value === null || value === undefined) return none;
  if (value < 10) return `${number.format(value)} ms`;
  if (value < 1000) return `${Math.round(value)} ms`;
  return `${number.format(value / 1000)} s`;
}

export function percent(share) {
  if (share === null || share === undefined || Number.isNaN(share)) return none;
  const value = share * 100;
  if (value > 0 && value < 0.1) return '<0.1 %';
  if (value > 99.9 && value < 100) return '>99.9 %';
  return `${number.format(value)} %`;
}

export function usd(value) {
  if (value === null || value === undefined) return none;
  if (value === 0) return '$0';
  return value < 0.01 ? `$${value.toPrecision(2)}` : `$${value.toFixed(2)}`;
}

export function lasted(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

const isToday = (date) => date.toDateString() === new Date().toDateString();
export const time = (unixMs) => (isToday(new Date(unixMs)) ? seconds : dated).format(new Date(unixMs));
export const moment = (unixMs) => exact.format(new Date(unixMs));
export const date = (unixMs) => day.format(new Date(unixMs));
export const hour = (unixMs) => clock.format(new Date(unixMs));
export const ago = (unixS, nowMs) => lasted(nowMs / 1000 - unixS);

export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

/** `a, b and c`, at most `most` of them by name. */
export function names(list, most = 3) {
  const shown = list.slice(0, most);
  const more = list.length - shown.length;
  if (more > 0) return `${shown.join(', ')} and ${more} more`;
  if (shown.length < 2) return shown.join('');
  return `${shown.slice(0, -1).join(', ')} and ${shown[shown.length - 1]}`;
}

/** A cause in words. */
const CAUSES = {
  auth: 'the key is refused', permission: 'access is refused', not_found: 'model not found', rate_limited: 'rate limit',
  quota: 'quota is used up', overloaded: 'overloaded', server_error: 'server errors', timeout: 'timeouts',
  connect: 'cannot connect', dns: 'name not found', tls: 'TLS fails', stream_cut: 'streams are cut',
  stream_stall: 'streams stall', bad_response: 'broken answers', empty_answer: 'empty answers', misconfigured: 'misconfigured',
  disabled_by_operator: 'disabled by an operator', paused: 'paused in the config', disabled: 'not probed',
  not_in_background_health_check_model_groups: 'not probed', gateway: 'the gateway’s own limit',
};
export const cause = (name) => (name ? CAUSES[name] || name.replaceAll('_', ' ') : '');
