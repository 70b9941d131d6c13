/** A record as targets get it: a plain stored record with its epoch and lazy views of its data. */
import { partitionKey, type TandemRecord } from '../core/record.ts';
import type { HandlerRecord } from './handler-api.ts';

export class DeliveredRecord implements HandlerRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly timeMs: number;
  readonly key: string | undefined;
  readonly headers: TandemRecord['headers'];
  readonly data: Buffer;
  readonly epoch: string;

  constructor(record: TandemRecord, epoch: string) {
    this.topic = record.topic;
    this.partition = record.partition;
    this.offset = record.offset;
    this.timeMs = record.timeMs;
    this.key = record.key;
    this.headers = record.headers;
    this.data = record.data;
    this.epoch = epoch;
  }

  get id(): string {
    return `${partitionKey(this.topic, this.partition)}/${this.epoch}/${this.offset}`.replaceAll('.', '~');
  }

  get text(): string {
    return this.data.toString('utf8');
  }

  json(): unknown {
    return JSON.parse(this.text);
  }
}
