/** All laws, in the order in which they build on each other. The gate holds every supported engine to this list. */
import type { Law } from '../law.ts';
import { appendOrder } from './append-order.ts';
import { backPressure } from './back-pressure.ts';
import { concurrentReaders } from './concurrent-readers.ts';
import { dedupe } from './dedupe.ts';
import { fencing } from './fencing.ts';
import { groupHandover } from './group-handover.ts';
import { leases } from './leases.ts';
import { origins } from './origins.ts';
import { positionLost } from './position-lost.ts';
import { readback } from './readback.ts';
import { reopenAfterKill } from './reopen-after-kill.ts';
import { storeFencing } from './store-fencing.ts';
import { topics } from './topics.ts';
import { trim } from './trim.ts';
import { watch } from './watch.ts';

export const LAWS: readonly Law[] = [
  topics,
  appendOrder,
  readback,
  positionLost,
  dedupe,
  origins,
  fencing,
  storeFencing,
  trim,
  watch,
  concurrentReaders,
  backPressure,
  groupHandover,
  leases,
  reopenAfterKill,
];
