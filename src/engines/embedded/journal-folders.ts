/** Where journals lie: `<dataDir>/journal-<number>`; the number is that of the slot that writes it. */
import { join } from 'node:path';
import type { Disk } from '../../core/ports/disk.ts';

export const journalFolder = (dataDir: string, journal: number): string => join(dataDir, `journal-${journal}`);

/** In ascending order. */
export function journalsOf(disk: Disk, dataDir: string): number[] {
  const journals: number[] = [];
  for (const name of disk.listSync(dataDir)) {
    const match = /^journal-(\d+)$/.exec(name);
    if (match !== null) journals.push(Number(match[1]));
  }
  return journals.sort((a, b) => a - b);
}
