/** A real `tandem up` for the benches, in a temporary folder, with free ports. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NodeUnderTest } from '../chaos/node-under-test.ts';

/** `files` are put beside the config first: handler modules. */
export async function startTandem(
  workers: number,
  extraConfig = '',
  files: Readonly<Record<string, string>> = {},
): Promise<NodeUnderTest> {
  const folder = mkdtempSync(join(tmpdir(), 'tandem-bench-'));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  const node = await NodeUnderTest.create(folder, workers, extraConfig);
  await node.start();
  return node;
}

export async function discard(node: NodeUnderTest): Promise<void> {
  await node.killAll();
  rmSync(node.folder, { recursive: true, force: true });
}
