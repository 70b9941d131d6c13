/**
 * The methods on `/ws`.
 *
 *   publish      {topic, data | base64, key?, headers?, producer?, sequence?} -> {epoch, partition, offset, isDuplicate?}
 *   subscribe    {channel, from?: "now" | "start" | position} -> {channel, position, isComplete}, before the first `record` of the channel
 *   unsubscribe  {channel} -> {channel}
 *
 * A parameter of another name is refused, so that a misspelt `key` cannot lose order in silence. `subscribe` cannot stand in a batch: its
 * answer would come after the first records.
 */
import type { Ingest } from '../../core/contracts/ingest.ts';
import type { SubscribeFrom } from '../../core/contracts/push.ts';
import { TandemError } from '../../core/errors.ts';
import type { ProducerSequence } from '../../core/record.ts';
import { requireRight } from '../http/access.ts';
import { type RecordMembers, receiptJson, recordInputOf } from '../http/record-json.ts';
import type { RpcParams } from './json-rpc.ts';
import type { RpcCall, RpcMethods } from './rpc-call.ts';

const PUBLISH_PARAMS: ReadonlySet<string> = new Set([
  'topic',
  'data',
  'base64',
  'key',
  'headers',
  'producer',
  'sequence',
]);
const SUBSCRIBE_PARAMS: ReadonlySet<string> = new Set(['channel', 'from']);
const UNSUBSCRIBE_PARAMS: ReadonlySet<string> = new Set(['channel']);

export function createMethods(ingest: Ingest): RpcMethods {
  return new Map([
    ['publish', (call: RpcCall, params: RpcParams) => publish(ingest, call, params)],
    ['subscribe', subscribe],
    ['unsubscribe', unsubscribe],
  ]);
}

async function publish(ingest: Ingest, call: RpcCall, params: RpcParams): Promise<void> {
  checkNames(params, PUBLISH_PARAMS);
  const topic = textOf(params, 'topic');
  requireRight(call.peer.identity, 'publish', topic);
  const records = [recordInputOf(params as RecordMembers)];
  const producer = producerOf(params);
  const { affinity } = call.peer;
  const [receipt] = await ingest.append(
    producer === undefined ? { topic, records, affinity } : { topic, records, affinity, producer },
  );
  if (receipt === undefined) throw new TandemError('TANDEM_INTERNAL', { detail: 'an append without a receipt' });
  call.answer(receiptJson(receipt));
}

function subscribe(call: RpcCall, params: RpcParams): Promise<void> {
  checkNames(params, SUBSCRIBE_PARAMS);
  const channel = textOf(params, 'channel');
  requireRight(call.peer.identity, 'subscribe', channel);
  if (call.isBatched) throw malformed('"subscribe" cannot stand in a batch');
  return call.peer.session().subscribe(channel, fromOf(params), (answer) => {
    call.answer(JSON.stringify(answer));
    // Records may follow at once; the answer must be ahead of them.
    call.peer.flushReplies();
  });
}

function unsubscribe(call: RpcCall, params: RpcParams): void {
  checkNames(params, UNSUBSCRIBE_PARAMS);
  const channel = textOf(params, 'channel');
  call.peer.session().unsubscribe(channel);
  call.answer(JSON.stringify({ channel }));
}

function producerOf({ producer, sequence }: RpcParams): ProducerSequence | undefined {
  if (producer === undefined && sequence === undefined) return undefined;
  if (typeof producer !== 'string' || typeof sequence !== 'number')
    throw new TandemError('TANDEM_PRODUCER_INVALID', {
      detail: 'give "producer" (a string) and "sequence" (a number)',
    });
  return { id: producer, sequence };
}

function fromOf({ from }: RpcParams): SubscribeFrom {
  if (from === undefined || from === 'now') return 'now';
  if (from === 'start') return 'start';
  if (typeof from === 'string') return { position: from };
  throw malformed('"from" must be "now", "start" or a position');
}

function textOf(params: RpcParams, name: string): string {
  const value = params[name];
  if (typeof value !== 'string') throw malformed(`"${name}" must be a string`);
  return value;
}

function checkNames(params: RpcParams, known: ReadonlySet<string>): void {
  for (const name in params)
    if (!known.has(name)) throw malformed(`there is no parameter ${JSON.stringify(name.slice(0, 100))}`);
}

const malformed = (detail: string): TandemError => new TandemError('TANDEM_INPUT_MALFORMED', { detail });
