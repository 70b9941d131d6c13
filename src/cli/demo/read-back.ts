/** Reads the whole topic back from the store, as any client can. */
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { TandemError } from '../../core/errors.ts';
import type { TopicReport } from '../reports.ts';
import { request, requestJson, type ServerOptions } from '../server.ts';
import { RecordTally } from './record-tally.ts';

const LIMIT = 1_000_000_000;

export interface ReadBackOptions {
  readonly url: string;
  readonly topic: string;
  readonly sources: number;
  readonly onProgress: (records: number, total: number) => void;
}

/** Errors: those of the server; TANDEM_LOG_CORRUPT if fewer records come than the store says that it has. */
export async function readBack({ url, topic, sources, onProgress }: ReadBackOptions): Promise<RecordTally> {
  const server: ServerOptions = { url, token: undefined };
  const path = `/topics/${encodeURIComponent(topic)}`;
  const { state } = await requestJson<TopicReport>(server, path);
  const total = state.reduce((sum, { firstOffset, nextOffset }) => sum + nextOffset - firstOffset, 0);
  const tally = new RecordTally(sources);
  for (const { partition } of state) {
    const response = await request(server, `${path}/records?partition=${partition}&from=start&limit=${LIMIT}`);
    if (response.body === null) continue;
    for await (const line of createInterface({
      input: Readable.fromWeb(response.body),
      crlfDelay: Number.POSITIVE_INFINITY,
    })) {
      const { offset, data, error } = JSON.parse(line) as {
        offset: number;
        data?: string;
        error?: { message: string };
      };
      if (error !== undefined) throw new TandemError('TANDEM_LOG_CORRUPT', { detail: error.message });
      tally.take(data ?? '', () => `${partition}:${offset}`);
      if (tally.records % 10_000 === 0) onProgress(tally.records, total);
    }
  }
  if (tally.records < total)
    throw new TandemError('TANDEM_LOG_CORRUPT', { detail: `${tally.records} of ${total} records could be read` });
  return tally;
}
