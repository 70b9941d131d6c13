/** What only leases of one machine promise; the rest is the law of leases (engines/conformance). */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ManualClock } from '../../core/ports/manual-clock.ts';
import { until } from '../../core/testing/until.ts';
import { tryExclusiveLock } from './exclusive-lock.ts';
import { Leases } from './leases.ts';
import type { StateDatabase } from './state-database.ts';
import { openStateDatabase } from './state-database.ts';
import { testFolder } from './testing/embedded-fixture.ts';

const PROCESS = fileURLToPath(new URL('./testing/leasing-process.ts', import.meta.url));
const fenced = { code: 'TANDEM_TERM_FENCED' };

interface Opened {
  readonly leases: Leases;
  readonly state: StateDatabase;
}

function open(t: TestContext, dataDir: string, clock?: ManualClock): Opened {
  const state = openStateDatabase(dataDir);
  const leases = new Leases({ state, dataDir, ...(clock === undefined ? {} : { clock }) });
  t.after(() => {
    leases.close();
    state.close();
  });
  return { leases, state };
}

interface LeasingProcess {
  readonly child: ChildProcess;
  readonly lines: readonly string[];
  readonly problems: readonly string[];
}

const childrenIn = new Map<string, ChildProcess[]>();

/** Its processes are gone before it is removed: hooks run in the order in which they were made. */
function leasingFolder(t: TestContext): string {
  const children: ChildProcess[] = [];
  t.after(() => Promise.all(children.map(end)));
  const folder = testFolder(t);
  childrenIn.set(folder, children);
  return folder;
}

function start(dataDir: string, role: 'ask' | 'take' | 'hold', holder: string): LeasingProcess {
  const child = spawn(process.execPath, [PROCESS, dataDir, role, holder], { stdio: ['ignore', 'pipe', 'pipe'] });
  childrenIn.get(dataDir)?.push(child);
  const lines: string[] = [];
  const problems: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
  child.stderr.on('data', (bytes: Buffer) => problems.push(bytes.toString()));
  return { child, lines, problems };
}

const kill = ({ child }: LeasingProcess): Promise<void> => end(child);

async function end(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL');
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
}

test('several processes that take it in turns, with others that ask, never have it at once', async (t) => {
  const folder = leasingFolder(t);
  openStateDatabase(folder).close();
  const takers = ['a', 'b', 'c'].map((holder) => start(folder, 'take', holder));
  const askers = [start(folder, 'ask', ''), start(folder, 'ask', '')];
  await until('all had it', () => takers.every(({ lines }) => lines.length >= 40));
  const [victim, ...others] = takers as [LeasingProcess, ...LeasingProcess[]];
  await kill(victim);
  rmSync(join(folder, 'taken'), { force: true });
  const counts = others.map(({ lines }) => lines.length);
  await until('the others go on', () => others.every(({ lines }, i) => lines.length > (counts[i] as number) + 20));
  const terms = takers.flatMap(({ lines }) => lines.map((line) => Number(line.split(' ')[1])));
  assert.equal(new Set(terms).size, terms.length);
  assert.deepEqual(
    [...takers, ...askers].flatMap(({ problems }) => problems.filter((text) => /Error/.test(text))),
    [],
  );
});

test('of a dead holder’s lease, too, asking is in nobody’s way', async (t) => {
  const folder = leasingFolder(t);
  const { leases, state } = open(t, folder);
  const askers = [start(folder, 'ask', ''), start(folder, 'ask', '')];
  await until('they ask', () => askers.every(({ lines }) => lines.length > 0));
  for (let round = 0; round < 200; round++) {
    // As a holder that was killed leaves it.
    state.durable.exec(`INSERT OR REPLACE INTO lease_grants (name, holder, term, since_ms) VALUES ('x', 'dead', 1, 0)`);
    const grant = await leases.acquire('x', 'a', 1);
    assert.ok(grant !== undefined, `round ${round}`);
    assert.equal((await leases.holder('x'))?.term, grant.term);
    await leases.release(grant);
  }
});

test('who holds it is true the moment a holder is dead, and while the next one takes it', async (t) => {
  const folder = leasingFolder(t);
  const { leases } = open(t, folder);
  for (let round = 0; round < 4; round++) {
    const holder = start(folder, 'hold', `h${round}`);
    await until('it is taken', () => holder.lines.length > 0);
    const grant = await leases.holder('x');
    assert.deepEqual([grant?.holder, `took ${grant?.term}`], [`h${round}`, holder.lines[0]]);
    holder.child.kill('SIGSTOP');
    assert.equal(await leases.acquire('x', 'me', 1), undefined);
    assert.equal((await leases.holder('x'))?.holder, `h${round}`);
    await kill(holder);
    assert.equal(await leases.holder('x'), undefined);
  }
});

for (const [what, harm] of [
  ['removed', (path: string) => rmSync(path)],
  ['replaced', (path: string) => renameSync(`${path}.new`, path)],
] as const)
  test(`a lock file that is ${what} protects nothing: its holder learns it`, async (t) => {
    const folder = leasingFolder(t);
    const { leases } = open(t, folder);
    const grant = await leases.acquire('x', 'a', 1);
    assert.ok(grant !== undefined);
    assert.equal(await leases.renew(grant, 1), true);
    writeFileSync(join(folder, 'leases', 'x.lock.new'), '');
    harm(join(folder, 'leases', 'x.lock'));
    assert.equal(await leases.renew(grant, 1), false);
    await assert.rejects(leases.issueTerm(grant), fenced);
    const other = open(t, folder).leases;
    const next = await other.acquire('x', 'b', 1);
    assert.ok(next !== undefined && next.term > grant.term);
    await leases.release(grant);
    assert.equal((await other.holder('x'))?.term, next.term);
    assert.equal(await leases.acquire('x', 'a', 1), undefined, 'the new file is locked by another');
    await other.release(next);
    assert.ok(await leases.acquire('x', 'a', 1), 'on the new file');
  });

test('a grant that is not the row’s is no grant, whoever has the lock', async (t) => {
  const { leases, state } = open(t, testFolder(t));
  const grant = await leases.acquire('x', 'a', 1);
  assert.ok(grant !== undefined);
  state.durable.exec('UPDATE lease_grants SET term = term + 100');
  assert.equal(await leases.renew(grant, 1), false);
  await assert.rejects(leases.issueTerm(grant), fenced);
});

test('without its mark a held lease is still held', async (t) => {
  const folder = testFolder(t);
  const { leases } = open(t, folder);
  const grant = await leases.acquire('x', 'a', 1);
  assert.ok(grant !== undefined);
  rmSync(join(folder, 'leases', 'x.held'));
  const other = open(t, folder).leases;
  assert.deepEqual(await other.holder('x'), grant);
  assert.equal(await other.acquire('x', 'b', 1), undefined);
});

test('any name has a file of its own', async (t) => {
  const folder = testFolder(t);
  const { leases } = open(t, folder);
  const names = [
    'x',
    'X',
    'x.lock',
    '../x',
    'node/a',
    'node%2fa',
    'é',
    '\u{1f600}',
    '',
    'n'.repeat(300),
    'n'.repeat(301),
  ];
  for (const name of names) assert.ok(await leases.acquire(name, 'a', 1), name);
  const files = readdirSync(join(folder, 'leases')).filter((file) => file.endsWith('.lock'));
  assert.equal(new Set(files.map((file) => file.toLowerCase())).size, names.length);
  assert.ok(files.every((file) => Buffer.byteLength(file) < 250));
});

test('a reservation ends by the clock, and with the grant it was for', async (t) => {
  const clock = new ManualClock();
  const { leases } = open(t, testFolder(t), clock);
  const acquire = (holder: string) => leases.acquire('x', holder, 1);
  const release = async (holder: string, forWhom: string) => {
    const grant = await acquire(holder);
    assert.ok(grant !== undefined);
    await leases.release(grant, { holder: forWhom, forMs: 1000 });
  };
  await release('a', 'b');
  await clock.advance(999);
  assert.equal(await acquire('a'), undefined);
  await clock.advance(1);
  await release('a', 'b');
  await release('b', 'a');
  assert.equal(await acquire('b'), undefined, 'reserved for another now');
  assert.ok(await acquire('a'));
});

test('what is given up with the state database is given up', async (t) => {
  const folder = testFolder(t);
  const { leases, state } = open(t, folder);
  const grant = await leases.acquire('x', 'a', 1);
  assert.ok(grant !== undefined);
  state.close();
  await assert.rejects(leases.release(grant), { code: 'TANDEM_DRAINING' });
  assert.ok(await open(t, folder).leases.acquire('x', 'b', 1));
});

test('who has the lock and was stopped before its row was written is found, not the dead one whose row it is', async (t) => {
  const folder = testFolder(t);
  const { leases, state } = open(t, folder);
  state.durable.exec(`INSERT INTO lease_grants (name, holder, term, since_ms) VALUES ('x', 'dead/1', 1, 0)`);
  const lock = tryExclusiveLock(join(folder, 'leases', 'x.lock'));
  t.after(() => lock?.release());
  writeFileSync(join(folder, 'leases', 'x.taker'), 'stopped/2');
  assert.equal((await leases.holder('x'))?.holder, 'stopped/2');
});
