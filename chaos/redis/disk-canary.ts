/** Notes when the medium under the drill takes long for a small write: everybody waits then, and nobody under test is to blame. */
import { type FileHandle, open } from 'node:fs/promises';
import { pause } from '../producers/producer.ts';
import type { Interval } from '../service-checker.ts';

const WRITE_EVERY_MS = 200;
const STALL_MS = 300;

export class DiskCanary {
  readonly stalls: Interval[] = [];
  #isStopping = false;
  readonly #ended: Promise<void>;

  constructor(path: string) {
    this.#ended = this.#run(path);
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#ended;
  }

  async #run(path: string): Promise<void> {
    const file = await open(path, 'w');
    try {
      while (!this.#isStopping) {
        await this.#write(file);
        await pause(WRITE_EVERY_MS);
      }
    } finally {
      await file.close();
    }
  }

  async #write(file: FileHandle): Promise<void> {
    const fromMs = performance.now();
    await file.write('.', 0);
    await file.datasync();
    const toMs = performance.now();
    if (toMs - fromMs > STALL_MS) this.stalls.push({ fromMs, toMs });
  }
}
