/**
 * A disk of its own for the data, in memory, that can be made full and given room again: a tmpfs whose size is set to what is used. (A file that
 * fills it would do the same and cost its size in memory.) Needs root.
 */
import { execFileSync } from 'node:child_process';
import { statfs } from 'node:fs/promises';

const ROOMY = 'size=12g';
const KIBIBYTE = 1024;

/** undefined: it can be had. */
export const noSmallDisk = (): string | undefined =>
  process.platform === 'linux' && process.getuid?.() === 0 ? undefined : 'a disk of its own needs Linux and root';

export class SmallDisk {
  readonly #folder: string;
  #isMounted = true;

  /** Mounts it on an empty folder. Errors: that it could not. */
  static mount(folder: string): SmallDisk {
    execFileSync('mount', ['-t', 'tmpfs', '-o', ROOMY, 'tandem-drill', folder], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    return new SmallDisk(folder);
  }

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** No room from here on. */
  async fill(): Promise<void> {
    for (let attempts = 0; ; attempts++) {
      const { blocks, bfree, bsize } = await statfs(this.#folder);
      try {
        this.#resize(`size=${Math.ceil(((blocks - bfree) * bsize) / KIBIBYTE)}k`);
        return;
      } catch (error) {
        // Something was written meanwhile.
        if (attempts === 20) throw error;
      }
    }
  }

  free(): void {
    this.#resize(ROOMY);
  }

  /** What still uses it keeps it until it ends. Idempotent. */
  unmount(): void {
    if (this.#isMounted) execFileSync('umount', ['-l', this.#folder]);
    this.#isMounted = false;
  }

  #resize(option: string): void {
    execFileSync('mount', ['-o', `remount,${option}`, this.#folder], { stdio: ['ignore', 'ignore', 'pipe'] });
  }
}
