// The live page's script, put into the page by live-page-route.ts. Everything that comes from records or the server is shown by textContent only.
// Bounded: ROWS_MAX rows, as many records waiting to be shown, PREVIEW_CHARS_MAX of each. One EventSource at a time.

const ROWS_MAX = 200;
const PREVIEW_CHARS_MAX = 4000;
const HEX_BYTES_MAX = 64;
const REFRESH_MS = 3000;
const RETRY_MS = 2000;
const RATE_SECONDS = 3;
/** A topic with at most so many records is shown from its start. */
const SMALL_TOPIC_RECORDS = 1000;
const TOKEN_KEY = 'tandem.token';

const byId = (id) => document.getElementById(id);
const clockText = (ms) => new Date(ms).toTimeString().slice(0, 8);
const counted = (count, noun) => `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`;

// ---------------------------------------------------------------- token and requests

let token = takeToken();

/** From the address, which then shows it no longer; kept for this tab only. */
function takeToken() {
  const address = new URL(location.href);
  const given = address.searchParams.get('token');
  if (given === null) return sessionStorage.getItem(TOKEN_KEY);
  sessionStorage.setItem(TOKEN_KEY, given);
  address.searchParams.delete('token');
  history.replaceState(null, '', address);
  return given;
}

/** Throws an Error with `status` for a refusal, a TypeError if nobody answers. */
async function ask(path, init = {}) {
  const headers = token === null ? init.headers : { ...init.headers, Authorization: `Bearer ${token}` };
  const response = await fetch(path, { ...init, headers });
  if (response.ok) return response;
  const body = await response.json().catch(() => undefined);
  const { message = `HTTP ${response.status}`, hint = '', retryable = true } = body?.error ?? {};
  throw Object.assign(new Error(message), { status: response.status, hint, retryable });
}

/** What a failed request means for the page; true: it may be tried again by itself. */
function explain(error) {
  if (error.status === 401) {
    byId('login').hidden = false;
    byId('page').hidden = true;
    byId('login-problem').textContent = token === null ? '' : error.message;
    setState('refused', 'needs a token');
    return false;
  }
  if (error.status === undefined) setState('lost', 'the node does not answer');
  else {
    byId('problem').textContent = `${error.message}. ${error.hint}`;
    setState('refused', 'refused');
  }
  return error.retryable !== false;
}

byId('login').addEventListener('submit', (event) => {
  event.preventDefault();
  token = byId('token').value;
  sessionStorage.setItem(TOKEN_KEY, token);
  byId('token').value = '';
  byId('login').hidden = true;
  byId('page').hidden = false;
  void begin();
});

function setState(state, text) {
  const shown = byId('state');
  shown.dataset.state = state;
  shown.textContent = text;
}

// ---------------------------------------------------------------- topics

let chosen = '';

async function topicsOfNode() {
  const { topics } = await (await ask('topics')).json();
  return topics.sort((a, b) => (a.name < b.name ? -1 : 1));
}

async function storedIn(topic) {
  const { state } = await (await ask(`topics/${encodeURIComponent(topic)}`)).json();
  return state.reduce((sum, { firstOffset, nextOffset }) => sum + nextOffset - firstOffset, 0);
}

function showTopics(topics) {
  const items = topics.map(({ name, partitions }) => {
    const button = element('button', '', element('span', name), element('span', `${partitions}`));
    button.type = 'button';
    button.title = counted(partitions, 'partition');
    button.setAttribute('aria-current', String(name === chosen));
    button.addEventListener('click', () => choose(name));
    return element('li', '', button);
  });
  byId('topics').replaceChildren(...items);
}

function element(tag, text, ...children) {
  const made = document.createElement(tag);
  if (text !== '') made.textContent = text;
  made.append(...children);
  return made;
}

async function begin() {
  try {
    const topics = await topicsOfNode();
    const names = topics.map(({ name }) => name);
    const first = [location.hash.slice(1), chosen, 'data_queue', names[0]].find((name) => names.includes(name));
    showTopics(topics);
    if (first === undefined) setState('lost', 'there is no topic yet');
    else return await choose(first);
  } catch (error) {
    if (!explain(error)) return;
  }
  setTimeout(begin, RETRY_MS);
}

async function choose(topic) {
  chosen = topic;
  location.hash = topic;
  byId('topic').textContent = topic;
  byId('problem').textContent = '';
  const stored = await storedIn(topic).catch(() => 0);
  if (topic !== chosen) return;
  byId('from').value = stored <= SMALL_TOPIC_RECORDS ? 'start' : 'now';
  follow();
  await refresh();
}

async function refresh() {
  if (document.hidden || chosen === '' || byId('page').hidden) return;
  try {
    const [topics, stored] = await Promise.all([topicsOfNode(), storedIn(chosen)]);
    showTopics(topics);
    byId('stored').textContent = stored.toLocaleString('en');
  } catch {
    // The stream's state tells.
  }
}

// ---------------------------------------------------------------- the stream

let source;
let lastId = '';
let lostAtMs;
let isResuming = false;
let retry;

/** The chosen topic anew. */
function follow() {
  lastId = '';
  isResuming = false;
  lostAtMs = undefined;
  Object.assign(counts, { received: 0, missed: 0, ticks: [0] });
  waiting = [];
  clear();
  open();
}

function open() {
  clearTimeout(retry);
  source?.close();
  setState('connecting', 'connecting');
  const stream = new EventSource(streamUrl());
  source = stream;
  const on = (name, take) =>
    stream.addEventListener(name, (event) => {
      if (event.lastEventId !== '') lastId = event.lastEventId;
      take(event.data);
    });
  on('position', (data) => opened(JSON.parse(data)));
  on('message', recordCame);
  on('gap', (data) => gapCame(JSON.parse(data)));
  on('closing', (data) => note(`the node ends the stream: ${JSON.parse(data).message}`));
  stream.addEventListener('error', () => lost(stream));
}

function streamUrl() {
  const query = new URLSearchParams(lastId === '' ? { from: byId('from').value } : { lastEventId: lastId });
  if (token !== null) query.set('token', token);
  return `topics/${encodeURIComponent(chosen)}/stream?${query}`;
}

function opened({ isComplete }) {
  byId('problem').textContent = '';
  const now = Date.now();
  setState('live', isResuming ? `live, resumed ${clockText(now)}` : 'live');
  if (isResuming) {
    const seconds = ((now - lostAtMs) / 1000).toFixed(1);
    note(isComplete ? `resumed after ${seconds} s, nothing missed` : `resumed after ${seconds} s`);
  }
  if (!isComplete) note('records were missed: the last position is no longer in the log', true);
  isResuming = true;
  lostAtMs = undefined;
}

/** The browser connects again by itself, with Last-Event-ID, unless the answer was a refusal. */
function lost(stream) {
  if (stream !== source) return;
  lostAtMs ??= Date.now();
  setState('lost', `reconnecting since ${clockText(lostAtMs)}`);
  if (stream.readyState === EventSource.CLOSED) retry = setTimeout(whyClosed, RETRY_MS, stream);
}

/** EventSource does not tell, so the same is asked by fetch. */
async function whyClosed(stream) {
  const aborter = new AbortController();
  try {
    await ask(streamUrl(), { signal: aborter.signal });
  } catch (error) {
    if (stream !== source || !explain(error)) return;
  } finally {
    aborter.abort();
  }
  if (stream === source) open();
}

// ---------------------------------------------------------------- records

const counts = { received: 0, missed: 0, ticks: [0] };
/** To be shown with the next frame: JSON of records, and rows. */
let waiting = [];
let isFrameDue = false;

function recordCame(json) {
  counts.received++;
  show(json);
}

function gapCame({ missed, reason }) {
  counts.missed += missed ?? 0;
  note(`${missed === null ? 'records' : counted(missed, 'record')} missed: ${reason}`, true);
}

function note(text, isBad = false) {
  const cell = element('td', text);
  cell.className = isBad ? 'note bad' : 'note';
  cell.colSpan = 4;
  show(element('tr', '', cell));
}

function show(jsonOrRow) {
  waiting.push(jsonOrRow);
  if (waiting.length > 2 * ROWS_MAX) waiting = waiting.slice(-ROWS_MAX);
  if (isFrameDue || byId('hold').checked) return;
  isFrameDue = true;
  requestAnimationFrame(paint);
}

function paint() {
  isFrameDue = false;
  if (waiting.length === 0) return;
  const rows = waiting.slice(-ROWS_MAX).map((each) => (typeof each === 'string' ? rowOf(JSON.parse(each)) : each));
  waiting = [];
  const table = byId('records');
  table.prepend(...rows.reverse());
  while (table.rows.length > ROWS_MAX) table.deleteRow(-1);
  byId('empty').hidden = true;
  showCounts();
}

function clear() {
  byId('records').replaceChildren();
  byId('empty').hidden = false;
}

function rowOf({ partition, offset, time, key = '', headers = {}, data, base64 }) {
  const shown = element('div', '');
  for (const [name, value] of Object.entries(headers)) shown.append(dim(`${name}: ${value}\n`));
  if (data === undefined) shown.append(dim(`${bytesIn(base64)} bytes, hex `), hexOf(base64));
  else shown.append(data.slice(0, PREVIEW_CHARS_MAX));
  if (data?.length > PREVIEW_CHARS_MAX) shown.append(dim(` … ${data.length - PREVIEW_CHARS_MAX} more characters`));
  const when = element('td', `${clockText(time)}.${String(time % 1000).padStart(3, '0')}`);
  when.title = new Date(time).toISOString();
  const cells = [element('td', `${partition}:${offset}`), when, element('td', '', element('div', key))];
  const row = element('tr', '', ...cells, element('td', '', shown));
  row.className = 'fresh';
  row.addEventListener('click', () => row.classList.add('open'));
  return row;
}

function dim(text) {
  const made = element('span', text);
  made.className = 'kind';
  return made;
}

const bytesIn = (base64) => (base64.length / 4) * 3 - (base64.match(/=*$/)?.[0].length ?? 0);

function hexOf(base64) {
  const bytes = atob(base64.slice(0, Math.ceil(HEX_BYTES_MAX / 3) * 4)).slice(0, HEX_BYTES_MAX);
  const hex = [...bytes].map((byte) => byte.charCodeAt(0).toString(16).padStart(2, '0')).join(' ');
  return bytesIn(base64) > HEX_BYTES_MAX ? `${hex} …` : hex;
}

function showCounts() {
  byId('received').textContent = counts.received.toLocaleString('en');
  byId('missed').textContent = counts.missed.toLocaleString('en');
}

/** Once in a second. */
function tick() {
  const { received, ticks } = counts;
  ticks.push(received);
  if (ticks.length > RATE_SECONDS + 1) ticks.shift();
  byId('rate').textContent = Math.round((received - ticks[0]) / (ticks.length - 1)).toLocaleString('en');
}

// ---------------------------------------------------------------- controls

byId('publish').addEventListener('submit', async (event) => {
  event.preventDefault();
  const [key, data, receipt] = [byId('key').value, byId('data').value, byId('receipt')];
  const record = key === '' ? { data } : { data, key };
  delete receipt.dataset.failed;
  receipt.textContent = '';
  try {
    const init = { method: 'POST', headers: { 'Content-Type': 'application/x-ndjson' }, body: JSON.stringify(record) };
    const answer = await (await ask(`topics/${encodeURIComponent(chosen)}`, init)).json();
    receipt.textContent = `stored at ${answer.partition}:${answer.offset}`;
    byId('data').value = '';
  } catch (error) {
    receipt.dataset.failed = '';
    receipt.textContent = error.status === undefined ? 'not known: the node does not answer' : error.message;
  }
});
byId('from').addEventListener('change', follow);
byId('hold').addEventListener('change', () => {
  if (!byId('hold').checked) paint();
});
byId('clear').addEventListener('click', clear);

setInterval(tick, 1000);
setInterval(refresh, REFRESH_MS);
void begin();
