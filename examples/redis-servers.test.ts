/** The servers of the examples with Redis, started as the examples say: they are what the doctor wants, and fail over. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { missingRedis } from '../src/core/testing/redis-servers/installed.ts';
import { rawCall } from '../src/core/testing/redis-servers/raw-call.ts';
import { until } from '../src/core/testing/until.ts';
import { checkStoreServers } from '../src/topology/verify.ts';
import {
  boundTo,
  configOf,
  environmentOf,
  type Program,
  programOf,
  readCompose,
  Stage,
} from './example-stage.fixture.ts';

const skip = missingRedis() || missingRedis('redis-cli');
/** All servers are asked for everything: not more often than this. */
const EXAMINED_EVERY_MS = 300;

type Checks = Awaited<ReturnType<typeof examine>>;

const examine = (stage: Stage, example: string) =>
  Array.fromAsync(checkStoreServers(configOf(example, (text) => stage.moved(text))));

const displeasing = (checks: Checks): Checks => checks.filter(({ result }) => result !== 'ok');

async function untilExamined(
  what: string,
  [stage, example]: readonly [Stage, string],
  condition: (checks: Checks) => boolean,
): Promise<void> {
  let examinedMs = 0;
  let checks: Checks = [];
  try {
    await until(
      what,
      async () => {
        if (performance.now() - examinedMs < EXAMINED_EVERY_MS) return false;
        checks = await examine(stage, example);
        examinedMs = performance.now();
        return condition(checks);
      },
      40_000,
    );
  } catch (error) {
    assert.fail(`${String(error)}\n${JSON.stringify(displeasing(checks), undefined, 1)}\n${stage.output}`);
  }
}

/** The doctor has nothing to say against the servers. */
const settle = (stage: Stage, example: string): Promise<void> =>
  untilExamined('the doctor is pleased', [stage, example], (checks) => displeasing(checks).length === 0);

/** A Sentinel that begins then knows the replicas at once, instead of after its next look at the master, 10 s later. */
const untilReplicated = (stage: Stage, host: string): Promise<void> =>
  stage.until('two replicas are online', async () => {
    const master = { host: stage.moved(host), port: 6379, password: 'change-me' };
    const text = await rawCall(master, ['INFO', 'replication']).catch(() => '');
    return String(text).split('state=online').length > 2;
  });

/** The Redis services of a compose file, by their own commands. */
async function compose(t: TestContext, example: string, files: readonly string[]) {
  const stage = new Stage(t);
  const { services } = readCompose(`${example}/docker-compose.yml`);
  const start = (name: string): void => {
    const service = services[name];
    assert.ok(service !== undefined, name);
    stage.start(name, programOf(service, join(stage.folder, name)));
  };
  for (const [name, { networks }] of Object.entries(services)) {
    if (!/^(redis|sentinel)-\d$/.test(name)) continue;
    const address = stage.moved(networks['tandem']?.ipv4_address ?? '');
    for (const file of files) stage.put(name, `${example}/${file}`, `config-${file}`, boundTo(address));
    if (name === 'sentinel-1') await untilReplicated(stage, '10.77.0.11');
    start(name);
  }
  return { stage, start };
}

async function failsOver(t: TestContext): Promise<void> {
  const { stage, start } = await compose(t, 'redis-sentinel', ['redis.conf', 'sentinel.conf']);
  await settle(stage, 'redis-sentinel');
  const front = startNodes(stage);
  await stage.until('a node takes records', () => publish(front, 0), 60_000);
  let acked = 1;
  let isOver = false;
  const load = (async () => {
    for (; !isOver; acked++) await stage.until(`record ${acked} is acknowledged`, () => publish(front, acked));
  })();
  await stage.kill('redis-1');
  await untilExamined('a replica has been promoted', [stage, 'redis-sentinel'], (checks) =>
    checks.some(({ name, finding }) => name === 'sentinel master' && /1[23]:6379/.test(finding)),
  );
  await stage.kill('tandem-a', 'SIGTERM');
  isOver = true;
  await load;
  t.diagnostic(`${acked} records acknowledged while the master was killed and a node stopped`);
  await stage.until('everything is in Redis', async () => (await stored(front)).length >= acked);
  assert.deepEqual((await stored(front)).sort(), Array.from({ length: acked }, (_, i) => String(i)).sort());
  start('redis-1');
  await settle(stage, 'redis-sentinel');
}

const AUTHORIZATION = `Bearer ${environmentOf('redis-sentinel')['TANDEM_APP_TOKEN']}`;

/** Whether it was acknowledged; may be sent again. */
async function publish(front: string, number: number): Promise<boolean> {
  const sequence = String(number + 1);
  const headers = { authorization: AUTHORIZATION, 'tandem-producer': 'example', 'tandem-sequence': sequence };
  const answer = await fetch(`${front}/topics/data_queue`, { method: 'POST', body: String(number), headers }).catch(
    () => undefined,
  );
  await answer?.arrayBuffer();
  return answer?.ok === true;
}

/** Everything that Redis has, as a node reads it. */
async function stored(front: string): Promise<string[]> {
  const texts: string[] = [];
  for (let partition = 0; partition < 8; partition++) {
    const from = `partition=${partition}&from=0&limit=10000`;
    const answer = await fetch(`${front}/topics/data_queue/records?${from}`, {
      headers: { authorization: AUTHORIZATION },
    });
    assert.ok(answer.ok, String(answer.status));
    const lines = (await answer.text()).split('\n').filter((line) => line !== '');
    texts.push(...lines.map((line) => (JSON.parse(line) as { data: string }).data));
  }
  return texts;
}

async function forms(t: TestContext): Promise<void> {
  const { stage, start } = await compose(t, 'redis-cluster', ['redis.conf']);
  start('redis-form');
  await settle(stage, 'redis-cluster');
}

const TANDEM = join(import.meta.dirname, '..', 'bin', 'tandem.js');
const NODES = ['tandem-a', 'tandem-b', 'tandem-c'];

/** The nodes and HAProxy, by the compose file's commands; each binds its own address. */
function startNodes(stage: Stage): string {
  const { services } = readCompose('redis-sentinel/docker-compose.yml');
  const addressOf = (name: string): string => stage.moved(services[name]?.networks['tandem']?.ipv4_address ?? '');
  for (const name of NODES) {
    const own = (text: string): string => text.replaceAll('0.0.0.0', addressOf(name));
    const config = stage.put(name, 'redis-sentinel/tandem.yaml', 'tandem.yaml', own);
    const args = (services[name]?.command ?? [])
      .map((arg) => (arg === '/config/tandem.yaml' ? config : arg.replace(/^\/data$/, join(stage.folder, name))))
      .join(' ');
    const script = `exec ${process.execPath} ${TANDEM} ${args} --workers 1`;
    stage.start(name, { script, environment: environmentOf('redis-sentinel') });
  }
  const front = addressOf('haproxy');
  const config = stage.put('haproxy', 'redis-sentinel/haproxy.cfg', 'haproxy.cfg', (text) =>
    text.replaceAll('bind *:', `bind ${front}:`),
  );
  stage.start('haproxy', { script: `exec haproxy -db -f ${config}`, environment: {} });
  return `http://${front}:9500`;
}

/** What `ExecStartPre` and `ExecStart` of a unit run on the machine with this address. */
function unitProgram(stage: Stage, unit: string, name: string, address: string): Program {
  const text = readFileSync(join(import.meta.dirname, 'systemd', unit), 'utf8');
  const lineOf = (key: string): string => new RegExp(`^${key}=(.*)$`, 'm').exec(text)?.[1] ?? assert.fail(key);
  const folder = join(stage.folder, name);
  const script = `${lineOf('ExecStartPre')} && exec ${lineOf('ExecStart')}`
    .replaceAll(/\/var\/lib\/tandem-\w+/g, folder)
    .replaceAll('/etc/tandem/', `${folder}/config-`)
    // Here the machines share that one.
    .replaceAll(' 127.0.0.1 ', ` --bind-source-addr ${address} `)
    .replaceAll(' --supervised systemd', '');
  return { script, environment: { ...environmentOf('systemd'), ADDRESS: address } };
}

async function startsAsUnits(t: TestContext): Promise<void> {
  const stage = new Stage(t);
  const machines = ['10.77.0.1', '10.77.0.2', '10.77.0.3'];
  const start = (what: 'redis' | 'sentinel', i: number): void => {
    const name = `${what}-${i}`;
    // As the README says.
    const asReplica = (text: string): string =>
      i === 0 ? text : `${text}replicaof ${stage.moved('10.77.0.1')} 6379\n`;
    stage.put(name, `systemd/${what}.conf`, `config-${what}.conf`, what === 'redis' ? asReplica : undefined);
    stage.start(name, unitProgram(stage, `tandem-${what}.service`, name, machines[i] ?? ''));
  };
  for (const i of machines.keys()) start('redis', i);
  await untilReplicated(stage, '10.77.0.1');
  for (const i of machines.keys()) start('sentinel', i);
  await settle(stage, 'systemd');
}

// At once: they mostly wait for Sentinels.
test('the servers of the examples please the doctor', { skip, concurrency: true, timeout: 120_000 }, async (t) => {
  await Promise.all([
    t.test('redis-sentinel: they fail over, and the old master comes back as a replica', failsOver),
    t.test('redis-cluster: it forms', forms),
    t.test('systemd: they start as in the units', startsAsUnits),
  ]);
});
