/**
 * The roll of one keeper's processes, itself included, as files of a folder, so that another keeper finds those that outlived theirs, or
 * hang. A worker ends by itself when its keeper dies, but a stopped or hung one cannot, and would hold its journal and its UDP sockets
 * for ever.
 *
 * File `<pid>` holds the process's start time (field 22 of /proc/<pid>/stat), the boot that counts from, and the identity of the folder: a
 * pid that was given to another process is left alone, and so are the processes of the node that a data folder was copied from.
 * Only where there is /proc (Linux); elsewhere nothing is kept and nothing ended. A process of another pid namespace is not found: what it
 * holds stays locked, and nobody takes it over.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TandemError } from '../core/errors.ts';

const POLL_MS = 1;
const END_TIMEOUT_MS = 5000;
/** Fields of /proc/<pid>/stat after the name, which is in parentheses and may hold anything. */
const STATE_FIELD = 0;
const START_TIME_FIELD = 19;

export class ProcessRoll {
  readonly #folder: string;
  readonly #folderId: string;

  constructor(folder: string) {
    this.#folder = folder;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const { dev, ino } = statSync(folder);
    this.#folderId = `${bootId()} ${dev}:${ino}`;
  }

  add(pid: number): void {
    const startTime = startTimeOf(pid);
    if (startTime !== undefined) writeFileSync(join(this.#folder, String(pid)), this.#entry(startTime));
  }

  remove(pid: number): void {
    rmSync(join(this.#folder, String(pid)), { force: true });
  }

  /** As its latest words in the roll: those that live. */
  living(): readonly number[] {
    return this.#pids().filter((pid) => {
      const startTime = startTimeOf(pid);
      return startTime !== undefined && this.#read(pid) === this.#entry(startTime);
    });
  }

  /**
   * SIGKILLs every process on the roll that still lives, and resolves with their pids when they are gone. Call it only with the right to end
   * them. Errors: TANDEM_PEER_LOST if one does not end, or may not be ended.
   */
  async endAll(): Promise<readonly number[]> {
    const living = this.living();
    for (const pid of living) end(pid);
    const deadlineMs = performance.now() + END_TIMEOUT_MS;
    for (const pid of living) {
      while (startTimeOf(pid) !== undefined) {
        if (performance.now() > deadlineMs)
          throw new TandemError('TANDEM_PEER_LOST', { detail: `process ${pid} of it does not end` });
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      }
    }
    for (const pid of this.#pids()) this.remove(pid);
    return living;
  }

  /** Another keeper may have ended the same ones, and removed the folder. */
  #pids(): readonly number[] {
    try {
      return readdirSync(this.#folder).map(Number);
    } catch {
      return [];
    }
  }

  #read(pid: number): string | undefined {
    try {
      return readFileSync(join(this.#folder, String(pid)), 'utf8');
    } catch {
      return undefined;
    }
  }

  #entry(startTime: string): string {
    return `${startTime} ${this.#folderId}`;
  }
}

function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  } catch {
    return '';
  }
}

function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return;
    throw new TandemError('TANDEM_PEER_LOST', { detail: `process ${pid} of it may not be ended`, cause: error });
  }
}

/** undefined: no such process, or it is dead and only waits to be reaped. */
function startTimeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[STATE_FIELD] === 'Z' || fields[STATE_FIELD] === 'X' ? undefined : fields[START_TIME_FIELD];
  } catch {
    return undefined;
  }
}
