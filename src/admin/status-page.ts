/** A small page that shows the admin API's answers; it holds no data itself. The token, if one is needed, stays in the browser's session. */
export const STATUS_PAGE = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>Tandem</title>
<style>
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#1b2733;background:#fff}
h1{font-size:1.4rem}h2{font-size:1.05rem;margin-top:2rem}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #dde4ea}td.n,th.n{text-align:right}
#problem{color:#a11}form{display:none}
@media (prefers-color-scheme:dark){body{color:#dbe4ec;background:#14191f}th,td{border-color:#2c3640}#problem{color:#f88}}
</style></head><body>
<h1>Tandem <span id="node"></span></h1><p id="health"></p><p id="problem" role="alert"></p>
<form id="login"><label>Token with the admin right <input id="token" type="password" autocomplete="off"></label> <button>Show</button></form>
<h2>Workers</h2><table id="slots"></table><h2>Listeners</h2><table id="listeners"></table>
<h2>Topics</h2><table id="topics"></table><h2>Consumers</h2><table id="consumers"></table>
<script>
const $ = (id) => document.getElementById(id);
const get = async (path) => {
  const token = sessionStorage.getItem('token');
  const answer = await fetch(path, { headers: token ? { Authorization: 'Bearer ' + token } : {} });
  const body = await answer.json();
  if (!answer.ok) { if (answer.status === 401 || answer.status === 403) $('login').style.display = 'block'; throw new Error(body.error.message); }
  return body;
};
const fill = (id, heads, rows) => {
  const table = $(id); table.replaceChildren();
  const line = (tag, cells) => {
    const tr = table.insertRow();
    for (const cell of cells) { const td = document.createElement(tag); td.textContent = cell ?? ''; if (typeof cell === 'number') td.className = 'n'; tr.append(td); }
  };
  line('th', heads);
  for (const row of rows) line('td', row);
};
const show = async () => {
  try {
    const [status, topics, consumers] = await Promise.all(['status', 'topics', 'consumers'].map((name) => get('/admin/v1/' + name)));
    $('problem').textContent = ''; $('login').style.display = 'none';
    $('node').textContent = status.name + ' ' + status.version;
    $('health').textContent = status.role + ', term ' + status.term + ': ' + status.reason;
    fill('slots', ['slot', 'state', 'pid', 'term', 'connections', 'restarts'], status.slots.map((s) => [s.slot, s.state, s.pid, s.term, s.connections, s.restarts]));
    fill('listeners', ['address', 'port'], status.listeners.map((l) => [l.url, l.port]));
    fill('topics', ['topic', 'partitions', 'records'], topics.map((t) => [t.name, t.partitionCount, t.partitions.reduce((n, p) => n + p.nextOffset - p.firstOffset, 0)]));
    fill('consumers', ['consumer', 'topic', 'state', 'lag', 'reason'], consumers.map((c) => [c.name, c.topic, c.state, c.lagRecords, c.reason]));
  } catch (error) { $('problem').textContent = error.message; }
};
$('login').onsubmit = (event) => { event.preventDefault(); sessionStorage.setItem('token', $('token').value); show(); };
show(); setInterval(show, 2000);
</script></body></html>
`;
