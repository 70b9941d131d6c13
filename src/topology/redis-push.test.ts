/** What subscribers see when Redis restarts: with everything, nothing at all; with less, that it is so. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { missingRedis } from '../core/testing/redis-servers/installed.ts';
import { startRedis } from '../core/testing/redis-servers/start-redis.ts';
import { freePort, makeFolder, TestNode, until } from './testing/test-node.ts';

const skip = missingRedis();

async function startNode(t: TestContext, url: string, folder: string = makeFolder(t), extra = {}): Promise<string> {
  const [http, admin] = [await freePort(), await freePort()];
  const node = new TestNode(t, folder, {
    ...{ name: 'n', workers: 1, engine: url, topics: { t: { partitions: 1 } }, ...extra },
    ...{ listen: [`http://127.0.0.1:${http}`], admin: `http://127.0.0.1:${admin}` },
  });
  await node.event('node_ready');
  return `http://127.0.0.1:${http}`;
}

async function publish(base: string, text: string): Promise<void> {
  const answer = await fetch(`${base}/topics/t`, { method: 'POST', body: text });
  assert.equal(answer.status, 201);
}

interface Message {
  readonly event: string;
  readonly id: string;
  readonly data: Record<string, unknown>;
}

interface Listening {
  readonly messages: Message[];
  /** In their order, gaps too. */
  heard(): string[];
}

/** Server-sent events from the start, or after the last event that somebody saw. */
async function listen(t: TestContext, base: string, lastId?: string): Promise<Listening> {
  const stop = new AbortController();
  t.after(() => stop.abort());
  const headers = lastId === undefined ? {} : { 'last-event-id': lastId };
  const { body } = await fetch(`${base}/topics/t/stream?from=start`, { headers, signal: stop.signal });
  const messages: Message[] = [];
  const follow = async (): Promise<void> => {
    let text = '';
    for await (const chunk of body ?? []) {
      text += Buffer.from(chunk).toString();
      const parts = text.split('\n\n');
      text = parts.pop() ?? '';
      for (const part of parts) {
        const field = (name: string): string => new RegExp(`^${name}: (.*)$`, 'm').exec(part)?.[1] ?? '';
        if (field('data') !== '')
          messages.push({ event: field('event'), id: field('id'), data: JSON.parse(field('data')) });
      }
    }
  };
  follow().catch(() => {});
  const heard = (): string[] =>
    messages.flatMap(({ event, data }) => (event === 'position' ? [] : String(data['data'] ?? event)));
  await until('the subscription is answered', () => messages.length > 0);
  return { messages, heard };
}

const untilHeard = (who: Listening, text: string) => until(`${text} is heard`, () => who.heard().includes(text));

test('restarts of Redis that lose nothing: who listens gets what is new, who resumes goes on, nobody gets anything twice', {
  skip,
}, async (t) => {
  const { server, url } = await startRedis(t, { config: ['appendonly yes', 'appendfsync always'] });
  const base = await startNode(t, url);
  await publish(base, '0');
  const live = await listen(t, base);
  await untilHeard(live, '0');
  const expected = ['0'];
  for (const round of [1, 2, 3]) {
    const lastId = live.messages.at(-1)?.id;
    await server.restart();
    await publish(base, `${round}a`);
    await untilHeard(live, `${round}a`);
    const resumed = await listen(t, base, lastId);
    await publish(base, `${round}b`);
    expected.push(`${round}a`, `${round}b`);
    for (const who of [live, resumed]) await untilHeard(who, `${round}b`);
    assert.equal(resumed.messages[0]?.data['isComplete'], true);
    assert.deepEqual(resumed.heard(), expected.slice(-2));
    assert.deepEqual(live.heard(), expected);
  }
});

test('a restart of Redis that lost records: who had seen them is told, and gets what there is from the loss on', {
  skip,
}, async (t) => {
  const { server, url } = await startRedis(t);
  const base = await startNode(t, url);
  await publish(base, 'a');
  const live = await listen(t, base);
  const early = await listen(t, base);
  await untilHeard(live, 'a');
  const survivingId = live.messages.at(-1)?.id;
  await server.call('SAVE');
  await publish(base, 'lost, sent again');
  await untilHeard(live, 'lost, sent again');
  await untilHeard(early, 'lost, sent again');
  await server.restart();
  await publish(base, 'b');
  await untilHeard(live, 'b');
  assert.deepEqual(live.heard(), ['a', 'lost, sent again', 'gap', 'lost, sent again', 'b']);
  const resumed = await listen(t, base, survivingId);
  await untilHeard(resumed, 'b');
  assert.equal(resumed.messages[0]?.data['isComplete'], true);
  assert.deepEqual(resumed.heard(), ['lost, sent again', 'b']);
});

test('a consumer goes on after restarts of Redis, also one that lost records', { skip }, async (t) => {
  const { server, url } = await startRedis(t);
  const folder = makeFolder(t);
  const seen = join(folder, 'seen');
  writeFileSync(
    join(folder, 'handlers.mjs'),
    `import { appendFileSync } from 'node:fs';\nexport default (record) => appendFileSync(${JSON.stringify(seen)}, record.text + '\\n');`,
  );
  const consumers = { save: { topic: 't', to: join(folder, 'handlers.mjs') } };
  const base = await startNode(t, url, folder, { consumers });
  const untilSeen = (text: string) =>
    until(`the handler gets ${text}`, () => existsSync(seen) && readFileSync(seen, 'utf8').includes(`${text}\n`));
  for (const round of [1, 2, 3]) {
    await publish(base, `${round}a`);
    await untilSeen(`${round}a`);
    await server.call('SAVE');
    if (round === 3) {
      await publish(base, 'lost, sent again');
      await untilSeen('lost, sent again');
    }
    await server.restart();
    await publish(base, `${round}b`);
    await untilSeen(`${round}b`);
  }
});
