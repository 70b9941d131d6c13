/**
 * All that a client has to publish: one stream per topic and producer id, one account of what waits.
 *
 * Producer ids. Without a sequence of the caller's, records go under an id of this client alone (`<producer>.<random>`), with sequences that it
 * counts itself: what it sends again is stored once, and a later process that counts from 1 again is never taken for this one. With the
 * caller's own sequences they go under exactly `producer`, so that a later process that sends the same again is recognised.
 */
import type { PublishOptions, PublishReceipt } from './api.ts';
import { clientError, TandemClientError } from './errors.ts';
import type { Link, RpcAnswer } from './link.ts';
import { type PublishedRecord, recordJson } from './payload.ts';
import { type PublishResult, PublishStream, type StreamOwner } from './publish-stream.ts';
import { Settling } from './settling.ts';

export interface PublisherOptions {
  readonly producer: string | undefined;
  readonly inFlightMax: number;
  readonly queueMax: number;
  readonly queueBytesMax: number;
  readonly deadlineMs: number;
  /** The node is not the right one. */
  readonly leave: (error: TandemClientError) => void;
}

const PRODUCER_ID = /^[\x21-\x7e]{1,110}$/;
const RANDOM_BYTES = 8;

export class Publisher implements StreamOwner {
  readonly inFlightMax: number;
  readonly #options: PublisherOptions;
  readonly #ownId: string;
  readonly #streams = new Map<string, PublishStream>();
  /** By the id of the request under way. */
  readonly #requests = new Map<number, PublishStream>();
  /** May have something to send. */
  readonly #ready = new Set<PublishStream>();
  readonly #settling = new Settling(() => this.#send());
  #link: Link | undefined;
  #count = 0;
  #chars = 0;
  #idle: (() => void)[] = [];

  /** Errors: TANDEM_CLIENT_INVALID. */
  constructor(options: PublisherOptions) {
    const { producer = 'client', inFlightMax } = options;
    if (!PRODUCER_ID.test(producer))
      throw clientError('TANDEM_CLIENT_INVALID', 'producer: 1 to 110 printable ASCII characters without spaces');
    this.#options = options;
    this.#ownId = `${producer}.${randomText()}`;
    this.inFlightMax = inFlightMax;
  }

  /** Errors: TANDEM_CLIENT_INVALID, TANDEM_CLIENT_QUEUE_FULL, TANDEM_CLIENT_DEADLINE and what the server refuses for good. */
  publish(topic: string, data: PublishedRecord['data'], options: PublishOptions): Promise<PublishReceipt> {
    return new Promise((resolve, reject) => {
      const { queueMax, queueBytesMax, deadlineMs } = this.#options;
      const json = recordJson({ data, key: options.key, headers: options.headers });
      const stream = this.#streamOf(topic, options.sequence);
      const sequence = options.sequence ?? stream.lastSequence + 1;
      if (!Number.isSafeInteger(sequence) || sequence <= stream.lastSequence)
        throw clientError('TANDEM_CLIENT_INVALID', `sequence ${sequence} after ${stream.lastSequence}`);
      if (this.#count >= queueMax || (this.#count > 0 && this.#chars + json.length > queueBytesMax))
        throw clientError('TANDEM_CLIENT_QUEUE_FULL');
      this.#count++;
      this.#chars += json.length;
      stream.add({ json, sequence, deadlineMs: performance.now() + deadlineMs, resolve, reject, isSettled: false });
      this.ready(stream);
    });
  }

  /** Records that wait to be acknowledged. */
  get count(): number {
    return this.#count;
  }

  /** Resolves when nothing waits. */
  async flushed(): Promise<void> {
    if (this.#count > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  /** Everything that waits is rejected; nothing may be published after it. */
  end(error: TandemClientError): void {
    this.#link = undefined;
    for (const stream of this.#streams.values()) stream.end(error);
  }

  // -------------------------------------------------------------- for the connection

  connected(link: Link): void {
    this.#link = link;
    for (const stream of this.#streams.values()) this.#ready.add(stream);
    this.#send();
  }

  /** `isTooLarge`: the node ended the link because a message was too large for it. */
  disconnected(isTooLarge: boolean, error: TandemClientError): void {
    this.#link = undefined;
    const under = [...this.#requests.values()];
    this.#requests.clear();
    const largest = under.reduce((max, stream) => Math.max(max, stream.sentChars), 0);
    for (const stream of under) {
      if (isTooLarge && stream.sentChars === largest) stream.refused(tooLarge(error));
      else stream.lost();
    }
  }

  /** False: the answer is not to a publish. */
  answered({ id, result, error }: RpcAnswer): boolean {
    const stream = this.#requests.get(id);
    if (stream === undefined) return false;
    this.#requests.delete(id);
    if (error !== undefined) stream.refused(error);
    else if (!stream.stored(result as PublishResult)) {
      stream.lost();
      this.leave(clientError('TANDEM_CLIENT_PROTOCOL', 'an answer for another number of records'));
    }
    return true;
  }

  // -------------------------------------------------------------- for the streams

  ready(stream: PublishStream): void {
    this.#ready.add(stream);
    if (this.#link !== undefined) this.#settling.ask();
  }

  settled(jsonLength: number): void {
    this.#count--;
    this.#chars -= jsonLength;
    if (this.#count > 0) return;
    const idle = this.#idle;
    this.#idle = [];
    for (const resolve of idle) resolve();
  }

  leave(error: TandemClientError): void {
    this.#options.leave(error);
  }

  // -------------------------------------------------------------- inside

  #send(): void {
    const link = this.#link;
    if (link === undefined) return;
    for (const stream of this.#ready) {
      const paramsJson = stream.takeRequest();
      if (paramsJson !== undefined) this.#requests.set(link.request('publish', paramsJson), stream);
    }
    this.#ready.clear();
  }

  #streamOf(topic: string, sequence: number | undefined): PublishStream {
    const { producer } = this.#options;
    if (typeof topic !== 'string') throw clientError('TANDEM_CLIENT_INVALID', 'topic: not a string');
    if (sequence !== undefined && producer === undefined)
      throw clientError('TANDEM_CLIENT_INVALID', 'a sequence needs the option "producer" of connect');
    const id = sequence === undefined ? this.#ownId : (producer as string);
    const key = `${id} ${topic}`;
    let stream = this.#streams.get(key);
    if (stream === undefined) {
      stream = new PublishStream(topic, id, this);
      this.#streams.set(key, stream);
    }
    return stream;
  }
}

/** Not randomUUID, which browsers have on secure pages only. */
function randomText(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(RANDOM_BYTES));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

const tooLarge = ({ message }: TandemClientError): TandemClientError =>
  new TandemClientError(
    'TANDEM_BATCH_TOO_LARGE',
    `the record is larger than limits.requestBytesMax of the node (${message})`,
  );
