/**
 * A process that uses leases until it is killed: `leasing-process.ts <data folder> ask|take|hold <holder>`.
 *
 * ask: asks without a pause who holds `x`; prints `asked` once, at the start.
 * take: acquires and releases `x`, and makes a file `taken` in between, which must not be there; prints `took <term>` each time.
 * hold: acquires `x` and keeps it; prints `took <term>`.
 */
import { closeSync, openSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { Leases } from '../leases.ts';
import { openStateDatabase } from '../state-database.ts';

const [dataDir = '', role = '', holder = ''] = process.argv.slice(2);
const leases = new Leases({ state: openStateDatabase(dataDir), dataDir });
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function ask(): Promise<void> {
  await leases.holder('x');
  console.log('asked');
  for (;;) {
    await leases.holder('x');
    await turn();
  }
}

async function take(isKept: boolean): Promise<void> {
  for (;;) {
    const grant = await leases.acquire('x', holder, 1);
    if (grant !== undefined) {
      const path = join(dataDir, 'taken');
      const file = openSync(path, 'wx');
      await turn();
      closeSync(file);
      unlinkSync(path);
      console.log(`took ${grant.term}`);
      if (isKept) return;
      await leases.release(grant);
    }
    await turn();
  }
}

// Until it is killed: a lease that is waited for keeps no process alive.
setInterval(() => {}, 1000);
if (role === 'ask') await ask();
else await take(role === 'hold');
