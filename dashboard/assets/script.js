// What the server cannot do: count seconds, take in what is pushed, copy, and keys. Every page can
// be read and every act done without it.
'use strict';
const $ = (selector, of = document) => of.querySelectorAll(selector);
const content = document.getElementById('content');
const lamp = document.getElementById('lamp');
const lost = document.getElementById('lost');

// span writes seconds in their two greatest units, as format.go does.
function span(s) {
  s = Math.max(0, Math.floor(s));
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m ${s % 60}s`;
  if (s < 86400) return `${Math.floor(s / 3600)}h ${Math.floor(s / 60) % 60}m`.replace(/ 0m$/, '');
  return `${Math.floor(s / 86400)}d ${Math.floor(s / 3600) % 24}h`.replace(/ 0h$/, '');
}

function put(node, text) { if (node.textContent !== text) node.textContent = text; }

function count() {
  const now = Date.now();
  for (const t of $('time[datetime]')) {
    const s = (now - Date.parse(t.dateTime)) / 1000;
    if (s < -1) put(t, t.dataset.as === 'age' ? span(-s) : 'in ' + span(-s));
    else put(t, t.dataset.as === 'age' ? span(s) : span(s) + ' ago');
  }
  for (const bar of $('progress[data-until]')) {
    const left = Math.max(0, Number(bar.dataset.until) - now);
    bar.value = left;
    bar.classList.toggle('low', left < bar.max / 5);
    put(bar.nextElementSibling, span(left / 1000));
  }
}

// morph makes one tree like another and keeps what is alike: focus, selection, open details.
function morph(old, next) {
  for (const a of [...old.attributes]) {
    if (!next.hasAttribute(a.name) && !(old.tagName === 'DETAILS' && a.name === 'open')) old.removeAttribute(a.name);
  }
  for (const a of next.attributes) if (old.getAttribute(a.name) !== a.value) old.setAttribute(a.name, a.value);
  const keyed = new Map([...old.children].filter((c) => c.id).map((c) => [c.id, c]));
  let at = old.firstChild;
  for (const n of [...next.childNodes]) {
    const same = n.id && keyed.get(n.id);
    if (same && same !== at) { old.insertBefore(same, at); at = same; }
    if (at && at.nodeType === n.nodeType && at.nodeName === n.nodeName && (at.id || '') === (n.id || '')) {
      if (n.nodeType === Node.ELEMENT_NODE) morph(at, n);
      else if (at.nodeValue !== n.nodeValue) at.nodeValue = n.nodeValue;
      at = at.nextSibling;
    } else old.insertBefore(n, at);
  }
  while (at) { const gone = at; at = at.nextSibling; gone.remove(); }
}

function ready() { for (const b of $('.copy')) b.hidden = false; }

// Live figures.
let stream = null, heard = 0, since = 0, stale = false, paused = false, waiting = null;
// A page does not change under text that somebody marks, to copy it.
const busy = () => !document.getSelection().isCollapsed;

function show(html) {
  const next = document.createElement('div');
  next.id = 'content';
  next.innerHTML = html;
  for (const b of $('.copy', next)) b.hidden = false;
  morph(content, next);
  count();
}

function say(text, isStale) {
  stale = Boolean(isStale);
  const known = !content.querySelector('[data-unknown]'); // a page without figures says by itself that there are none
  lost.hidden = !text || !known;
  put(lost, text);
  document.body.classList.toggle('stale', stale && known);
  lamp.classList.toggle('off', stale);
  take();
}

// take shows what was pushed, as soon as nobody is in its way.
function take() {
  if (waiting !== null && !busy()) { show(waiting); waiting = null; }
  put(lamp, paused ? 'paused' : stale ? 'no answer' : waiting !== null ? 'waits' : 'live');
}

function open() {
  const at = new URLSearchParams({ at: document.body.dataset.live, seen: document.body.dataset.seen });
  stream = new EventSource('events?' + at);
  heard = Date.now();
  since ||= heard;
  const alive = () => { since = heard = Date.now(); say(''); };
  stream.addEventListener('beat', alive);
  stream.addEventListener('main', (e) => {
    alive();
    waiting = e.data;
    take();
  });
  stream.addEventListener('lost', (e) => { since = heard = Date.now(); say(e.data, true); });
  stream.addEventListener('end', (e) => { close(); say(e.data, true); });
}

function close() { stream?.close(); stream = null; }

function follow() {
  const live = document.body.dataset.live && !paused && !document.hidden;
  if (live && !stream) { since = 0; open(); }
  if (!live) close();
  lamp.classList.toggle('paused', paused);
  take();
}

if (document.body.dataset.live !== undefined) {
  lamp.hidden = false;
  lamp.addEventListener('click', () => { paused = !paused; follow(); });
  document.addEventListener('visibilitychange', follow);
  follow();
}
setInterval(() => {
  count();
  take();
  if (stream && Date.now() - heard > 5000) {
    say(`No connection since ${new Date(since).toLocaleTimeString()}. Trying again.`, true);
    // A browser tries again by itself after a broken connection, and not after an answer that is no stream.
    if (stream.readyState === EventSource.CLOSED) { close(); open(); }
  }
}, 1000);
ready();
count();

document.addEventListener('click', async (e) => {
  const b = e.target.closest('.copy');
  if (!b) return;
  await navigator.clipboard.writeText(b.dataset.copy);
  put(b, 'copied');
  setTimeout(() => put(b, 'copy'), 1500);
});

// Keys.
let going = false;
document.addEventListener('keydown', (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey || ['INPUT', 'TEXTAREA'].includes(e.target.tagName)) return;
  const rows = [...$('.rows tbody tr, .needs li, .causes li')];
  const at = rows.findIndex((r) => r.contains(document.activeElement));
  const go = (n) => rows[Math.min(Math.max(n, 0), rows.length - 1)]?.querySelector('a')?.focus();
  if (going) {
    going = false;
    const to = { h: './', q: 'queues', l: 'locks', c: 'cache', a: 'audit' }[e.key];
    if (to) location.href = to;
    return;
  }
  switch (e.key) {
    case 'g': going = true; break;
    case 'j': go(at + 1); break;
    case 'k': go(at - 1); break;
    case '.': lamp.click(); break;
    case '/': document.querySelector('.search input[type=search]')?.focus(); e.preventDefault(); break;
    case '?': document.getElementById('keys').showModal(); break;
  }
});
