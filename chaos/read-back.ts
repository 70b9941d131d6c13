/** Reads the whole log, as any client can, and the nodes' own words on their roles. */
import { until } from '../src/core/testing/until.ts';
import { NumberList } from './evidence/number-list.ts';
import type { Activation } from './evidence/terms.ts';
import type { Values } from './evidence/values.ts';
import type { NodeUnderTest } from './node-under-test.ts';

const TIMEOUT_MS = 60_000;
const PAGE_RECORDS = 50_000;

interface ReadBackRecord {
  readonly offset: number;
  readonly data: string;
}

/** Partition -> codes of the values by offset. Errors: a gap. */
export async function readLog(httpUrl: string, values: Values): Promise<Map<number, NumberList>> {
  const base = `${httpUrl}/topics`;
  const { topics } = JSON.parse(await textOf(base)) as {
    readonly topics: readonly { readonly name: string; readonly partitions: number }[];
  };
  const partitions = topics.find((topic) => topic.name === 'data_queue')?.partitions ?? 0;
  const log = new Map<number, NumberList>();
  for (let partition = 0; partition < partitions; partition++) {
    const codes = new NumberList();
    log.set(partition, codes);
    for (;;) {
      const query = `partition=${partition}&from=${codes.length}&limit=${PAGE_RECORDS}`;
      const lines = (await textOf(`${base}/data_queue/records?${query}`)).split('\n').filter(Boolean);
      if (lines.length === 0) break;
      for (const line of lines) {
        const { offset, data } = JSON.parse(line) as ReadBackRecord;
        if (offset !== codes.length)
          throw new RangeError(`reading back: ${partition}:${offset} where ${codes.length} was due`);
        codes.push(values.codeOf(data));
      }
    }
  }
  return log;
}

/** A worker that was hung or killed last may not be replaced yet: 503 is asked again. */
function textOf(url: string): Promise<string> {
  return until(
    () => `${url} is answered`,
    async () => {
      const response = await fetch(url).catch(() => undefined);
      if (response === undefined) return undefined;
      const text = await response.text();
      if (response.status === 200) return `${text}\n`;
      if (response.status !== 503) throw new RangeError(`HTTP ${response.status} ${text}`);
      return undefined;
    },
    TIMEOUT_MS,
  ) as Promise<string>;
}

interface RoleChanged {
  readonly event: string;
  readonly time: string;
  readonly to: string;
  readonly term: number;
}

/** When a node became active, as it has logged it. Unix ms. */
export function loggedActivations(node: NodeUnderTest): Activation[] {
  return node
    .output()
    .split('\n')
    .filter((line) => line.includes('"role_changed"'))
    .flatMap((line) => {
      const { event, time, to, term } = JSON.parse(line) as RoleChanged;
      const atMs = Date.parse(time);
      return event === 'role_changed' && to === 'active'
        ? [{ holder: node.name, term, askedMs: atMs, answeredMs: atMs }]
        : [];
    });
}
