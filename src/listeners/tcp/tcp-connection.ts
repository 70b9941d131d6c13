/**
 * One TCP connection of records: greeting, then frames to a lane, then answers in order.
 *
 * States: greeting -> opening (lane on its way) -> open -> ending (no more input; answers in hand go out, then the socket ends).
 * Back-pressure: the socket is not read while the lane opens, while ingest is saturated, or while the client does not take its answers.
 * A producer whose record was not stored for the store's sake is disconnected after the ERR: its later sequences must not overtake.
 */
import type { Socket } from 'node:net';
import type { Identity } from '../../core/contracts/auth.ts';
import type { AckSink, Lane } from '../../core/contracts/ingest.ts';
import { asTandemError, TandemError } from '../../core/errors.ts';
import { type Answer, continues, encodeAnswers, frameText, refusalText } from './answers.ts';
import { createFramer, type Framer } from './framer.ts';
import { Greeting } from './greeting.ts';
import type { Hello } from './hello.ts';
import type { TcpListenerOptions } from './tcp-options.ts';

/** Answers that the client has not taken. Above: its socket is not read. */
const ANSWER_BYTES_MAX = 256 * 1024;

/** Once drained and answered, a client has so long to close its side before the socket is closed for it. */
const DRAIN_LINGER_MS = 100;

type State = 'greeting' | 'opening' | 'open' | 'ending';

export class TcpConnection implements AckSink {
  readonly #socket: Socket;
  readonly #options: TcpListenerOptions;
  readonly #framer: Framer;
  #state: State = 'greeting';
  #greeting: Greeting | undefined;
  #greetingTimer: NodeJS.Timeout | undefined;
  #lane: Lane | undefined;
  #hasProducer = false;
  #isDraining = false;
  #answers: Answer[] = [];
  /** Reasons why the socket is not read now. */
  #isHeldByIngest = false;
  #isHeldByClient = false;

  constructor(socket: Socket, options: TcpListenerOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#framer = createFramer(options.framing, options.limits.recordBytesMax);
    this.#greeting = new Greeting(options.framing);
    socket.allowHalfOpen = true;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('end', () => this.#inputEnded());
    socket.on('drain', () => this.#clientTookAnswers());
    socket.setTimeout(options.limits.idleTimeoutMs);
    if (options.authenticator.isRequired) this.#limitGreeting();
    socket.on('timeout', () => this.#idle());
    socket.on('close', () => clearTimeout(this.#greetingTimer));
  }

  /** Takes no more input; answers what is in hand, then ends. */
  drain(): void {
    this.#isDraining = true;
    if (this.#state === 'greeting') this.#fail(new TandemError('TANDEM_DRAINING'));
    else this.#beginEnding();
  }

  stored(partition: number, firstOffset: number, count: number): void {
    if (this.#options.ack === 'none') return;
    const last = this.#answers.at(-1);
    if (last !== undefined && continues(last, partition, firstOffset)) last.count += count;
    else this.#answers.push({ partition, firstOffset, count });
  }

  refused(error: TandemError, count: number): void {
    this.#answers.push({ error, count });
    if (this.#hasProducer && error.code !== 'TANDEM_RECORD_TOO_LARGE') this.#beginEnding();
  }

  flushed(): void {
    if (this.#answers.length > 0) {
      const bytes = encodeAnswers(this.#answers, this.#options.framing);
      this.#answers = [];
      this.#write(bytes);
    }
    if (this.#state === 'ending') this.#endWhenAnswered();
  }

  #read(chunk: Buffer): void {
    try {
      if (this.#state === 'open') this.#take(chunk);
      else if (this.#state === 'greeting') this.#greet(chunk);
    } catch (thrown) {
      this.#fail(asTandemError(thrown));
    }
  }

  #take(chunk: Buffer): void {
    this.#framer.push(chunk, this.#lane as Lane);
    const { ingest } = this.#options;
    if (ingest.isSaturated && !this.#isHeldByIngest) {
      this.#isHeldByIngest = true;
      this.#socket.pause();
      ingest.whenReady(() => {
        this.#isHeldByIngest = false;
        this.#resume();
      });
    }
  }

  /** A HELLO that was begun, or is needed, must be there in time, however it trickles in. */
  #limitGreeting(): void {
    this.#greetingTimer ??= setTimeout(() => {
      if (this.#state === 'greeting') this.#fail(new TandemError('TANDEM_SESSION_IDLE'));
    }, this.#options.limits.headerTimeoutMs).unref();
  }

  #greet(chunk: Buffer): void {
    const greeted = this.#greeting?.push(chunk);
    if (greeted === undefined) {
      this.#limitGreeting();
      return;
    }
    clearTimeout(this.#greetingTimer);
    this.#greeting = undefined;
    this.#state = 'opening';
    this.#socket.pause();
    this.#open(greeted.hello)
      .then(() => {
        if (this.#state !== 'opening') return;
        this.#state = 'open';
        if (greeted.rest.length > 0) this.#read(greeted.rest);
        this.#resume();
      })
      .catch((thrown: unknown) => this.#fail(asTandemError(thrown)));
  }

  async #open(hello: Hello | undefined): Promise<void> {
    const { authenticator, topic, nodeTerm: term, ackLevel: ack } = this.#options;
    const identity: Identity = authenticator.authenticate(hello?.token);
    if (!identity.may('publish', topic))
      throw new TandemError('TANDEM_AUTH_FORBIDDEN', { detail: `publish to ${topic}` });
    const lane = await this.#openLane(hello);
    this.#lane = lane;
    if (hello !== undefined) this.#write(this.#frame(`OK ${JSON.stringify({ term, seq: lane.lastSequence, ack })}`));
  }

  async #openLane(hello: Hello | undefined): Promise<Lane> {
    const { ingest, topic } = this.#options;
    if (hello?.producer === undefined) {
      if (hello?.seq !== undefined)
        throw new TandemError('TANDEM_INPUT_MALFORMED', { detail: 'HELLO: seq needs a producer' });
      return ingest.openLane({ topic, sink: this });
    }
    this.#hasProducer = true;
    const id = hello.producer;
    if (hello.seq !== undefined) return ingest.openLane({ topic, sink: this, producer: { id, sequence: hello.seq } });
    // No sequence given: go on after the last stored one.
    const known = await ingest.openLane({ topic, sink: this, producer: { id, sequence: 1 } });
    known.close();
    return ingest.openLane({ topic, sink: this, producer: { id, sequence: known.lastSequence + 1 } });
  }

  #inputEnded(): void {
    if (this.#state === 'open' && this.#framer.isMidRecord) {
      // Not stored: it may be the first half of a record of a client that died.
      this.#lane?.refuse(new TandemError('TANDEM_INPUT_MALFORMED', { detail: 'the stream ended inside a record' }));
    }
    if (this.#state === 'greeting') this.#socket.end();
    else this.#beginEnding();
  }

  #beginEnding(): void {
    if (this.#state === 'ending') return;
    const isOpening = this.#state === 'opening';
    this.#state = 'ending';
    if (isOpening) this.#socket.end();
    else this.#endWhenAnswered();
  }

  #endWhenAnswered(): void {
    if ((this.#lane?.inFlight ?? 0) > 0 || this.#answers.length > 0) return;
    this.#lane?.close();
    this.#socket.end();
    if (this.#isDraining) setTimeout(() => this.#socket.destroy(), DRAIN_LINGER_MS);
    // What still comes is read and dropped, or the end of the stream would never be seen.
    this.#socket.resume();
  }

  #fail(error: TandemError): void {
    if (this.#state === 'ending') return;
    this.#options.logger.info('tcp_refused', { code: error.code, remote: this.#socket.remoteAddress });
    if (this.#state === 'open' && this.#lane !== undefined) {
      this.#lane.refuse(error);
      this.#beginEnding();
      return;
    }
    this.#state = 'ending';
    this.#write(this.#frame(refusalText(error)));
    this.#endWhenAnswered();
  }

  #idle(): void {
    if ((this.#lane?.inFlight ?? 0) > 0) return;
    if (this.#state === 'ending') this.#socket.destroy();
    else this.#fail(new TandemError('TANDEM_SESSION_IDLE'));
  }

  #write(bytes: Buffer): void {
    if (this.#socket.writable) this.#socket.write(bytes);
    if (this.#socket.writableLength <= ANSWER_BYTES_MAX || this.#isHeldByClient) return;
    this.#isHeldByClient = true;
    this.#socket.pause();
  }

  #clientTookAnswers(): void {
    this.#isHeldByClient = false;
    this.#resume();
  }

  #resume(): void {
    if (!this.#isHeldByIngest && !this.#isHeldByClient && this.#state !== 'opening') this.#socket.resume();
  }

  #frame(text: string): Buffer {
    return frameText(text, this.#options.framing);
  }
}
