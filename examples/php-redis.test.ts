/** PHP code reads and writes Tandem's topics in Redis, where PHP with its redis extension is installed. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { partitionForKey } from '../src/core/partitioning.ts';
import { recordSetOf, recordsOf } from '../src/core/record-set.ts';
import { missingRedis } from '../src/core/testing/redis-servers/installed.ts';
import { startRedis } from '../src/core/testing/redis-servers/start-redis.ts';
import { until } from '../src/core/testing/until.ts';
import { openRedisEngine } from '../src/engines/redis/redis-engine.ts';

const run = promisify(execFile);
const FOLDER = join(import.meta.dirname, 'php-redis');

async function missingPhp(): Promise<string | false> {
  const loaded = await run('php', ['-m']).catch(() => undefined);
  return loaded?.stdout.includes('redis') === true
    ? false
    : 'no php with the redis extension: install php-cli and php-redis';
}
const missing = missingRedis() || (await missingPhp());

for (const shards of [1, 5])
  test(`PHP appends and reads, with ${shards} shards`, { skip: missing }, async (t) => {
    const { url, server } = await startRedis(t);
    const engine = await openRedisEngine({ url, shards });
    t.after(() => engine.close());
    const topic = 'data_queue';
    const partitions = 6;
    await engine.topics.ensure({ name: topic, partitions, retentionMs: null, retentionBytes: null });
    const env = { ...process.env, REDIS_PORT: String(server.port) };
    const php = async (script: string, ...args: string[]): Promise<string> =>
      (await run('php', [join(FOLDER, script), topic, ...args], { env })).stdout;

    for (const [i, key] of ['a', 'order-7', 'schlüssel/π', 'abc', ''].entries()) {
      const partition = partitionForKey(key, partitions);
      const place = { topic, partition };
      const { nextOffset } = await engine.store.state(place);
      let wakes = 0;
      const stop = engine.store.watch(place, () => wakes++);
      await until('it was woken at the start', () => wakes > 0);
      wakes = 0;
      assert.equal(await php('append.php', `{"order":${i}}`, key), `${partition}:${nextOffset}\n`);
      const { batches } = await engine.store.read(place, { epoch: '', offset: nextOffset }, 10_000);
      const [record] = recordsOf(batches[0] ?? assert.fail());
      assert.deepEqual([record?.key, record?.data.toString()], [key, `{"order":${i}}`]);
      await until('readers are woken', () => wakes > 0);
      stop();
    }

    const place = { topic, partition: 3 };
    const { nextOffset } = await engine.store.state(place);
    const set = recordSetOf([
      { data: Buffer.from('plain') },
      { key: 'k', headers: { h: '1' }, data: Buffer.from('keyed') },
      { data: Buffer.from('') },
    ]);
    await engine.store.append({ ...place, set });
    const lines = (await php('read.php', '3', String(nextOffset + 3))).split('\n');
    assert.deepEqual(lines.slice(nextOffset, -1), [
      `${topic} 3:${nextOffset} - plain`,
      `${topic} 3:${nextOffset + 1} k keyed`,
      `${topic} 3:${nextOffset + 2} - `,
    ]);

    // Whoever comes first after a restart begins the new history.
    const { epoch } = await engine.store.state(place);
    await engine.close();
    await server.call('SAVE');
    await server.restart();
    await php('append.php', 'after the restart', 'a');
    const again = await openRedisEngine({ url });
    t.after(() => again.close());
    assert.notEqual((await again.store.state({ topic, partition: partitionForKey('a', partitions) })).epoch, epoch);
  });
