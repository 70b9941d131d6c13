/** Reads everything back after the load: a Tandem topic over HTTP, page by page, and plain streams by XRANGE. */
import { pause } from '../../../chaos/producers/producer.ts';
import { until } from '../../../src/core/testing/until.ts';
import type { LaneResult } from './lane-log.ts';
import { Ledger, type Verdict } from './ledger.ts';
import { type Address, call, type MasterLookup, masterOf } from './master-lookup.ts';
import { streamOf } from './xadd-lane.ts';

const PAGE_RECORDS = 5000;
/** Acknowledged records that are still on their way to the server come; if none came for so long, they are lost. */
const LOST_AFTER_MS = 20_000;
/** When nothing is missing: for repeats. */
const OVER_AFTER_MS = 2000;
const ANSWER_WITHIN_MS = 30_000;
const TOPIC = 'data_queue';

interface ReadRecord {
  readonly offset: number;
  readonly data: string;
}

/** One verdict per lane. */
export async function readTandem(httpPort: number, lanes: readonly LaneResult[]): Promise<readonly Verdict[]> {
  const ledgers = new Map(lanes.map((lane) => [lane.name, new Ledger(lane.acked)]));
  const missing = (): number => [...ledgers.values()].reduce((total, ledger) => total + ledger.missing, 0);
  const base = `http://127.0.0.1:${httpPort}/topics`;
  const next: number[] = await partitionsOf(base);
  for (let readMs = performance.now(); ; ) {
    let count = 0;
    for (const [partition, from] of next.entries()) {
      const records = await readOn(`${base}/${TOPIC}/records?partition=${partition}&limit=${PAGE_RECORDS}`, from);
      for (const { offset, data } of records) {
        if (offset !== next[partition]) throw new RangeError(`${partition}:${offset} where ${next[partition]} was due`);
        next[partition] = offset + 1;
        const [name, sequence] = nameAndSequence(data);
        ledgers.get(name)?.take(sequence);
      }
      count += records.length;
    }
    if (count > 0) readMs = performance.now();
    else if (performance.now() - readMs > (missing() === 0 ? OVER_AFTER_MS : LOST_AFTER_MS)) break;
    else await pause(100);
  }
  return [...ledgers.values()].map((ledger) => ledger.verdict());
}

/** Where to begin in each. */
async function partitionsOf(base: string): Promise<number[]> {
  const { topics } = JSON.parse(await textOf(base)) as {
    readonly topics: readonly { readonly name: string; readonly partitions: number }[];
  };
  return Array.from({ length: topics.find(({ name }) => name === TOPIC)?.partitions ?? 0 }, () => 0);
}

async function readOn(url: string, from: number): Promise<readonly ReadRecord[]> {
  const lines = (await textOf(`${url}&from=${from}`)).split('\n').filter(Boolean);
  return lines.map((line) => JSON.parse(line) as ReadRecord);
}

function textOf(url: string): Promise<string> {
  let answer = '';
  return until(
    () => `${url} is answered (${answer})`,
    async () => {
      const response = await fetch(url).catch(() => undefined);
      if (response === undefined) return undefined;
      const text = await response.text();
      answer = `${response.status} ${text.slice(0, 200)}`;
      return response.status === 200 ? `${text}\n` : undefined;
    },
    ANSWER_WITHIN_MS,
  ) as Promise<string>;
}

/** Of a record as lane.ts makes it. */
function nameAndSequence(data: string): [name: string, sequence: number] {
  const value = data.slice(0, data.indexOf('|'));
  const colon = value.lastIndexOf(':');
  return [value.slice(0, colon), Number(value.slice(colon + 1))];
}

export async function readStream(lookup: MasterLookup, lane: LaneResult): Promise<Verdict> {
  const key = streamOf(lane.name);
  const ledger = new Ledger(lane.acked);
  const find = (): Promise<Address | undefined> => masterOf(lookup, key);
  const address = (await until(`${key} has a master`, find, ANSWER_WITHIN_MS)) as Address;
  for (let last = '-'; ; ) {
    const entries = (await call(address, 'XRANGE', key, last, '+', 'COUNT', `${PAGE_RECORDS}`)) as unknown as Entry[];
    for (const [, [, data]] of entries) ledger.take(nameAndSequence(data)[1]);
    const end = entries.at(-1);
    if (end === undefined) return ledger.verdict();
    last = `(${end[0]}`;
  }
}

type Entry = readonly [id: string, fields: readonly [name: string, data: string]];
