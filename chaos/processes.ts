/** Processes of this machine as /proc shows them. */
import { readFileSync } from 'node:fs';

/** A pid alone may be given to another process later. */
export interface ProcessId {
  readonly pid: number;
  readonly startTime: string;
}

/** Fields of /proc/<pid>/stat after the name, which is in parentheses and may hold anything. */
const STATE_FIELD = 0;
const START_TIME_FIELD = 19;

/** undefined: no such process, or it is dead and only waits to be reaped. */
export function processId(pid: number): ProcessId | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const isDead = fields[STATE_FIELD] === 'Z' || fields[STATE_FIELD] === 'X';
    return isDead ? undefined : { pid, startTime: fields[START_TIME_FIELD] as string };
  } catch {
    return undefined;
  }
}

export const isAlive = ({ pid, startTime }: ProcessId): boolean => processId(pid)?.startTime === startTime;

export function childPids(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // Gone already.
  }
}
