/**
 * The methods on `/ws`. Every answer has the node's `term`, so that a client can tell a node that is not the active one any more.
 *
 *   publish      {topic, data | base64, key?, headers?, producer?, sequence?} -> {term, ack, epoch, partition, offset, isDuplicate?}
 *   publish      {topic, records: [{data | base64, key?, headers?}, …], producer?, sequence?} -> {term, ack, receipts: [{epoch, partition, offset, count,
 *                isDuplicate?}, …]}; `sequence` is the first record's. With a producer the receipts are in the order of the records
 *   subscribe    {channel, from?: "now" | "start" | position} -> {term, channel, position, isComplete}, before the first `record` of the channel
 *   unsubscribe  {channel} -> {term, channel}
 *   ping         {} -> {term}; needs no right
 *
 * A parameter of another name is refused, so that a misspelt `key` cannot lose order in silence. `subscribe` cannot stand in a batch: its
 * answer would come after the first records.
 */
import type { AckLevel } from '../../core/contracts/engine.ts';
import type { AppendOptions, Ingest } from '../../core/contracts/ingest.ts';
import type { SubscribeFrom } from '../../core/contracts/push.ts';
import { TandemError } from '../../core/errors.ts';
import { BATCH_RECORDS_MAX } from '../../core/limits.ts';
import type { ProducerSequence, RecordInput } from '../../core/record.ts';
import { requireRight } from '../http/access.ts';
import { type RecordMembers, receiptList, receiptMembers, recordInputOf } from '../http/record-json.ts';
import type { RpcParams } from './json-rpc.ts';
import type { RpcCall, RpcMethods } from './rpc-call.ts';

const RECORD_MEMBERS: ReadonlySet<string> = new Set(['data', 'base64', 'key', 'headers']);
const BATCH_PARAMS: ReadonlySet<string> = new Set(['topic', 'records', 'producer', 'sequence']);
const PUBLISH_PARAMS: ReadonlySet<string> = new Set([...RECORD_MEMBERS, 'topic', 'producer', 'sequence']);
const SUBSCRIBE_PARAMS: ReadonlySet<string> = new Set(['channel', 'from']);
const UNSUBSCRIBE_PARAMS: ReadonlySet<string> = new Set(['channel']);
const PING_PARAMS: ReadonlySet<string> = new Set();

export function createMethods(ingest: Ingest, nodeTerm: number, ackLevel: AckLevel): RpcMethods {
  const methods = new Methods(ingest, nodeTerm, ackLevel);
  return new Map([
    ['publish', (call: RpcCall, params: RpcParams) => methods.publish(call, params)],
    ['subscribe', (call: RpcCall, params: RpcParams) => methods.subscribe(call, params)],
    ['unsubscribe', (call: RpcCall, params: RpcParams) => methods.unsubscribe(call, params)],
    ['ping', (call: RpcCall, params: RpcParams) => methods.ping(call, params)],
  ]);
}

class Methods {
  readonly #ingest: Ingest;
  /** `"term":7`: the first member of every result. */
  readonly #termMember: string;
  readonly #ackMember: string;
  readonly #pong: string;

  constructor(ingest: Ingest, nodeTerm: number, ackLevel: AckLevel) {
    this.#ingest = ingest;
    this.#termMember = `"term":${nodeTerm}`;
    this.#ackMember = `"ack":"${ackLevel}"`;
    this.#pong = `{${this.#termMember}}`;
  }

  async publish(call: RpcCall, params: RpcParams): Promise<void> {
    const isBatch = params['records'] !== undefined;
    checkNames(params, isBatch ? BATCH_PARAMS : PUBLISH_PARAMS);
    const topic = textOf(params, 'topic');
    requireRight(call.peer.identity, 'publish', topic);
    const records = isBatch ? recordsOf(params['records']) : [recordInputOf(params as RecordMembers)];
    const producer = producerOf(params);
    const { affinity } = call.peer;
    const options: AppendOptions = { topic, records, affinity };
    const receipts = await this.#ingest.append(producer === undefined ? options : { ...options, producer });
    const [receipt] = receipts;
    if (receipt === undefined) throw new TandemError('TANDEM_INTERNAL', { detail: 'an append without a receipt' });
    const places = isBatch ? `"receipts":[${receiptList(receipts)}]` : receiptMembers(receipt);
    call.answer(`{${this.#termMember},${this.#ackMember},${places}}`);
  }

  subscribe(call: RpcCall, params: RpcParams): Promise<void> {
    checkNames(params, SUBSCRIBE_PARAMS);
    const channel = textOf(params, 'channel');
    requireRight(call.peer.identity, 'subscribe', channel);
    if (call.isBatched) throw malformed('"subscribe" cannot stand in a batch');
    return call.peer.session().subscribe(channel, fromOf(params), ({ position, isComplete }) => {
      const place = `"channel":${JSON.stringify(channel)},"position":"${position}","isComplete":${isComplete}`;
      call.answer(`{${this.#termMember},${place}}`);
      // Records may follow at once; the answer must be ahead of them.
      call.peer.flushReplies();
    });
  }

  unsubscribe(call: RpcCall, params: RpcParams): void {
    checkNames(params, UNSUBSCRIBE_PARAMS);
    const channel = textOf(params, 'channel');
    call.peer.session().unsubscribe(channel);
    call.answer(`{${this.#termMember},"channel":${JSON.stringify(channel)}}`);
  }

  ping(call: RpcCall, params: RpcParams): void {
    checkNames(params, PING_PARAMS);
    call.answer(this.#pong);
  }
}

/** Errors: TANDEM_INPUT_MALFORMED with the record's number, TANDEM_BATCH_TOO_LARGE. */
function recordsOf(value: unknown): RecordInput[] {
  if (!Array.isArray(value) || value.length === 0) throw malformed('"records" must be an array with records');
  if (value.length > BATCH_RECORDS_MAX)
    throw new TandemError('TANDEM_BATCH_TOO_LARGE', { detail: `more than ${BATCH_RECORDS_MAX} records` });
  return value.map((members: unknown, index) => {
    if (typeof members !== 'object' || members === null || Array.isArray(members))
      throw malformed(`record ${index + 1} is not an object`);
    checkNames(members as RpcParams, RECORD_MEMBERS);
    return recordInputOf(members);
  });
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
