/** A real `tandem up` for the benches, in a temporary folder, with free ports. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NodeUnderTest } from '../chaos/node-under-test.ts';

export async function startTandem(workers: number, extraConfig = ''): Promise<NodeUnderTest> {
  const node = await NodeUnderTest.create(mkdtempSync(join(tmpdir(), 'tandem-bench-')), workers, extraConfig);
  await node.start();
  return node;
}

export async function discard(node: NodeUnderTest): Promise<void> {
  await node.killAll();
  rmSync(node.folder, { recursive: true, force: true });
}
