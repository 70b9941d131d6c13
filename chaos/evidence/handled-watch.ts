/**
 * What the handlers of all nodes were given: one line of a file per delivery, appended by the handler itself, so that their order is the real
 * one. Which node it was is told by the pid of its keeper.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { NumberList } from './number-list.ts';
import { ValueCounts } from './value-counts.ts';
import type { Values } from './values.ts';

const CHUNK_BYTES = 1024 * 1024;

export interface Delivery {
  readonly partition: number;
  readonly offset: number;
  readonly value: string;
  readonly keeperPid: number;
}

export class HandledWatch {
  readonly complaints: string[] = [];
  /** Partition -> codes of the values that were delivered, by offset; where history may be lost, in order of their first deliveries. */
  readonly seen = new Map<number, NumberList>();
  readonly counts = new ValueCounts();
  /** Whose handlers worked one after the other. */
  readonly keeperPids: number[] = [];
  readonly #values: Values;
  deliveries = 0;
  /** Different records. */
  count = 0;

  readonly #mayLoseHistory: boolean;

  constructor(values: Values, { mayLoseHistory = false }: { readonly mayLoseHistory?: boolean } = {}) {
    this.#values = values;
    this.#mayLoseHistory = mayLoseHistory;
  }

  take({ partition, offset, value, keeperPid }: Delivery): void {
    this.deliveries++;
    if (this.keeperPids.at(-1) !== keeperPid) this.keeperPids.push(keeperPid);
    let codes = this.seen.get(partition);
    if (codes === undefined) {
      codes = new NumberList();
      this.seen.set(partition, codes);
    }
    const code = this.#values.codeOf(value);
    const isFirst = this.counts.up(code) <= 1;
    if (this.#mayLoseHistory) {
      if (!isFirst) return;
      codes.push(code);
      this.count++;
      return;
    }
    if (offset < codes.length) {
      if (codes.at(offset) !== code) this.complaints.push(`WRONG: the handler got ${value} as ${partition}:${offset}`);
      return;
    }
    // First deliveries come in order.
    if (offset > codes.length)
      this.complaints.push(`ORDER: the handler got ${partition}:${offset} before ${codes.length}`);
    codes.set(offset, code);
    this.count++;
  }
}

/** Reads on in the file that the handlers write. */
export class HandledFile {
  readonly watch: HandledWatch;
  readonly #fd: number;
  readonly #chunk = Buffer.alloc(CHUNK_BYTES);
  #rest = '';

  constructor(path: string, values: Values, options: { readonly mayLoseHistory?: boolean } = {}) {
    this.watch = new HandledWatch(values, options);
    this.#fd = openSync(path, 'r');
  }

  /** Takes what was written since. */
  update(): HandledWatch {
    for (;;) {
      const length = readSync(this.#fd, this.#chunk, 0, CHUNK_BYTES, null);
      if (length === 0) return this.watch;
      const lines = (this.#rest + this.#chunk.toString('latin1', 0, length)).split('\n');
      this.#rest = lines.pop() as string;
      for (const line of lines) {
        const [partition, offset, keeperPid, value] = line.split(' ') as [string, string, string, string];
        this.watch.take({
          partition: Number(partition),
          offset: Number(offset),
          keeperPid: Number(keeperPid),
          value,
        });
      }
    }
  }

  close(): void {
    closeSync(this.#fd);
  }
}
