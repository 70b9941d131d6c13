import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fill, smallFileSystem } from '../core/testing/small-file-system.ts';
import { Cluster } from './testing/test-cluster.ts';
import { freePort, makeFolder, TestNode, until } from './testing/test-node.ts';

test('a node that is started on a full disk waits for space, then stands by', async (t) => {
  const folder = smallFileSystem(t, 64);
  if (folder === undefined) return;
  const cluster = await Cluster.start(t, ['a'], { data: join(folder, 'data'), workers: 1 });
  const ballast = fill(folder);
  const admin = `http://127.0.0.1:${await freePort()}`;
  const node = new TestNode(t, makeFolder(t), { ...cluster.of('a').config, name: 'b', admin });
  const waiting = await node.event('waiting_for_space');
  assert.match(String(waiting['problem']), /full|space/);
  assert.equal(node.child.exitCode, null);
  rmSync(ballast);
  const ready = await node.event('node_ready');
  assert.equal(ready['role'], 'standby');
  await until('a sees that it is ready', () => cluster.isReadyAsSeenBy('a', 'b'));
});
