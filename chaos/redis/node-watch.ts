/** Looks at the nodes from outside while a drill runs: what their spools hold, what they say went wrong, how much memory their processes take. */
import { readFileSync } from 'node:fs';
import type { NodeUnderTest } from '../node-under-test.ts';
import { pause } from '../producers/producer.ts';

const LOOK_EVERY_MS = 500;
const ANSWER_TIMEOUT_MS = 2000;
const PAGE_BYTES = 4096;

export interface SpoolSample {
  readonly records: number;
  readonly bytes: number;
  readonly lost: number;
  readonly sentAgain: number;
}

export class NodeWatch {
  /** The most that any process had in memory, and which it was. */
  largest = { bytes: 0, process: 'none' };
  /** The most that the spools of a node held. */
  spoolBytesMax = 0;
  spoolRecordsMax = 0;
  readonly #nodes: readonly NodeUnderTest[];
  /** By life of a node: the counters of its last sample. */
  readonly #counters = new Map<string, SpoolSample>();
  #isStopping = false;
  readonly #ended: Promise<unknown>;

  constructor(nodes: readonly NodeUnderTest[]) {
    this.#nodes = nodes;
    this.#ended = Promise.all(nodes.map((node) => this.#watch(node)));
  }

  /** Over all nodes and lives, as far as it was seen. */
  get lost(): number {
    return [...this.#counters.values()].reduce((sum, { lost }) => sum + lost, 0);
  }

  get sentAgain(): number {
    return [...this.#counters.values()].reduce((sum, { sentAgain }) => sum + sentAgain, 0);
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#ended;
  }

  /** Those whose spools hold records that are not confirmed, or that do not say. */
  async undrained(): Promise<string[]> {
    const samples = await this.samples();
    return samples.flatMap(({ node, sample }) =>
      sample?.records === 0 ? [] : [`${node.name}: ${sample?.records ?? 'no answer'}`],
    );
  }

  /** What the spools of each node hold now; undefined: it does not say. */
  samples(): Promise<{ readonly node: NodeUnderTest; readonly sample: SpoolSample | undefined }[]> {
    return Promise.all(this.#nodes.map(async (node) => ({ node, sample: await this.#look(node) })));
  }

  async #watch(node: NodeUnderTest): Promise<void> {
    while (!this.#isStopping) {
      if (node.isRunning) {
        for (const pid of [node.keeperPid, ...node.workerPids()]) {
          const bytes = residentBytes(pid);
          const role = pid === node.keeperPid ? 'keeper' : 'worker';
          if (bytes > this.largest.bytes) this.largest = { bytes, process: `${role} ${pid} of ${node.name}` };
        }
        await this.#look(node);
      }
      await pause(LOOK_EVERY_MS);
    }
  }

  async #look(node: NodeUnderTest): Promise<SpoolSample | undefined> {
    const life = `${node.name}/${node.keeperPid}`;
    const sample = await sampleOf(node);
    if (sample === undefined || life !== `${node.name}/${node.keeperPid}`) return undefined;
    this.#counters.set(life, sample);
    this.spoolBytesMax = Math.max(this.spoolBytesMax, sample.bytes);
    this.spoolRecordsMax = Math.max(this.spoolRecordsMax, sample.records);
    return sample;
  }
}

async function sampleOf(node: NodeUnderTest): Promise<SpoolSample | undefined> {
  try {
    const response = await fetch(`${node.adminUrl}/metrics`, { signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) });
    const text = await response.text();
    const sum = (name: string): number | undefined => {
      const values = [...text.matchAll(new RegExp(`^tandem_spool_${name}(?:\\{[^}]*\\})? (\\S+)$`, 'gm'))];
      return values.length === 0 ? undefined : values.reduce((total, [, value]) => total + Number(value), 0);
    };
    const records = sum('records');
    if (records === undefined) return undefined;
    return {
      records,
      bytes: sum('bytes') ?? 0,
      lost: sum('lost_total') ?? 0,
      sentAgain: sum('sent_again_total') ?? 0,
    };
  } catch {
    return undefined;
  }
}

/** 0: it is gone. */
export function residentBytes(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/statm`, 'latin1').split(' ')[1]) * PAGE_BYTES;
  } catch {
    return 0;
  }
}

interface LogLine {
  readonly level?: string;
  readonly event?: string;
}

/** How often each node wrote each event at level warn or error. */
export function troubleOf(nodes: readonly NodeUnderTest[]): { readonly [event: string]: number } {
  const counts: { [event: string]: number } = {};
  for (const node of nodes)
    for (const line of node.output().split('\n')) {
      if (!line.startsWith('{')) {
        if (line.trim() !== '') counts['(no JSON)'] = (counts['(no JSON)'] ?? 0) + 1;
        continue;
      }
      const { level, event } = parseLine(line);
      if ((level !== 'warn' && level !== 'error') || event === undefined) continue;
      counts[`${level} ${event}`] = (counts[`${level} ${event}`] ?? 0) + 1;
    }
  return counts;
}

function parseLine(line: string): LogLine {
  try {
    return JSON.parse(line) as LogLine;
  } catch {
    return { level: 'error', event: '(broken line)' };
  }
}
