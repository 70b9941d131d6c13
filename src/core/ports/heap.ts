/** The heap of this process, as far as somebody has to look after it. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * Collects all garbage now, which blocks for some milliseconds: for a process that has nothing to do, so that it need not when it has. What was
 * compiled stays, from here on, however long the process waits: V8 would forget code that has not run for a while.
 */
export function settleHeap(): void {
  setFlagsFromString('--no-flush-bytecode');
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}
