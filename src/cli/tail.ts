/**
 * `tandem tail`: follows a topic. Survives the death of the node: it goes on after the last record, at the next address that answers. When it
 * ends, it says from where the next one can go on.
 */
import type { Command } from 'commander';
import type { Gap, ReceivedRecord } from 'tandem-client';
import { countOf } from './bench.ts';
import { withClient } from './client.ts';
import { action, type ClientOptions, serverOf, withServer } from './options.ts';
import { err, out, styled } from './terminal.ts';

interface TailOptions extends ClientOptions {
  readonly from: string;
  readonly count?: number;
}

const COUNT_MAX = Number.MAX_SAFE_INTEGER;

export function addTail(program: Command): void {
  withServer(program.command('tail'))
    .description('print the records of a topic as they are stored')
    .argument('<topic>', 'topic')
    .option('--from <where>', 'start, now, or a position that an earlier run printed', 'now')
    .option('--count <count>', 'end after so many records', countOf(COUNT_MAX))
    .action(action(tail));
}

async function tail(topic: string, options: TailOptions): Promise<void> {
  const { from, json = false, count: countMax = COUNT_MAX } = options;
  let count = 0;
  let position: string | undefined;
  await withClient(serverOf(options), {}, async (client) => {
    const onRecord = (record: ReceivedRecord): Promise<void> | undefined => {
      const isTaken = json ? out(jsonOf(record)) : printRecord(record);
      if (++count >= countMax) subscription.close();
      return isTaken ? undefined : drained();
    };
    const subscription = client.subscribe(topic, { from, onRecord, onGap: printGap });
    const stop = (): void => subscription.close();
    process.once('SIGINT', stop).once('SIGTERM', stop);
    try {
      await subscription.closed;
    } finally {
      process.off('SIGINT', stop).off('SIGTERM', stop);
      position = subscription.position;
    }
  }).finally(() => {
    if (position !== undefined && !json && process.stderr.isTTY)
      err(`to go on from here: tandem tail ${topic} --from ${position}`);
  });
}

/** As it is read over HTTP. */
function jsonOf({ partition, offset, timeMs, key, headers, data }: ReceivedRecord): string {
  const payload = typeof data === 'string' ? { data } : { base64: Buffer.from(data).toString('base64') };
  return JSON.stringify({ partition, offset, time: timeMs, key, headers, ...payload });
}

/** The data alone, so that it can be piped on; on a terminal with its place. */
function printRecord({ partition, offset, key, data }: ReceivedRecord): boolean {
  const isText = typeof data === 'string';
  if (process.stdout.isTTY !== true) return out(isText ? data : Buffer.from(data).toString('latin1'));
  const text = isText ? data : `(base64) ${Buffer.from(data).toString('base64')}`;
  return out(`${styled('dim', `${partition}:${offset}${key === undefined ? '' : ` ${key}`}`)} ${text}`);
}

function printGap({ missed, reason }: Gap): void {
  err(styled('yellow', `${missed === null ? 'records' : `${missed} records`} were missed here (${reason})`));
}

/** Whoever reads the output takes it more slowly than it comes. */
const drained = (): Promise<void> => new Promise((resolve) => process.stdout.once('drain', resolve));
