/**
 * UDP listener: each datagram is a record. With `ack=offset` the sender is answered as on TCP lines, one datagram each.
 * What UDP itself may lose is lost before Tandem sees it; acked means kept here too. While ingest is saturated datagrams are turned away
 * (answered TANDEM_OVERLOADED, counted), since UDP has no back-pressure.
 */
import type { Socket as DatagramSocket, RemoteInfo } from 'node:dgram';
import type { AckSink, Ingest, Lane } from '../../core/contracts/ingest.ts';
import type { DatagramListener } from '../../core/contracts/listener.ts';
import type { Logger, MetricSample } from '../../core/contracts/telemetry.ts';
import { asTandemError, TandemError } from '../../core/errors.ts';
import type { Limits } from '../../core/limits.ts';
import type { Unwrap } from '../proxy-protocol/datagram-proxy.ts';
import { placeText } from '../tcp/answers.ts';

export interface UdpListenerOptions {
  readonly topic: string;
  readonly ack: 'offset' | 'none';
  readonly ingest: Ingest;
  readonly limits: Limits;
  readonly logger: Logger;
  /** Present: datagrams come through a load balancer, each with a PROXY protocol header. */
  readonly unwrap?: Unwrap | undefined;
}

/** Datagrams that wait while the lane opens. Above: turned away. */
const WAITING_MAX = 1024;

export function createUdpListener(options: UdpListenerOptions): DatagramListener {
  return new UdpListener(options);
}

class UdpListener implements DatagramListener, AckSink {
  readonly #options: UdpListenerOptions;
  #socket: DatagramSocket | undefined;
  #lane: Lane | undefined;
  #isOpening = false;
  #waiting: { readonly data: Buffer; readonly from: RemoteInfo }[] = [];
  /** Who sent the records whose answers are outstanding, in order; from `#nextSender` on. */
  #senders: RemoteInfo[] = [];
  #nextSender = 0;
  #received = 0;
  #turnedAway = 0;

  constructor(options: UdpListenerOptions) {
    this.#options = options;
  }

  attach(socket: DatagramSocket): void {
    this.#socket = socket;
    const { unwrap } = this.#options;
    const receive = (data: Buffer, from: RemoteInfo): void => this.#receive(data, from);
    socket.on('message', unwrap === undefined ? receive : (data, from) => this.#receiveProxied(unwrap, data, from));
    socket.on('error', (error) => this.#options.logger.error('udp_failed', { reason: error.message }));
  }

  async drain(): Promise<void> {
    this.#socket?.removeAllListeners('message');
    await this.#options.ingest.drain();
    this.#socket?.close();
  }

  metrics(): MetricSample[] {
    const labels = { listener: 'udp', topic: this.#options.topic };
    return [
      {
        name: 'tandem_listener_datagrams_total',
        kind: 'counter',
        help: 'Received datagrams',
        labels,
        value: this.#received,
      },
      {
        name: 'tandem_listener_turned_away_total',
        kind: 'counter',
        help: 'Datagrams over the limit',
        labels,
        value: this.#turnedAway,
      },
    ];
  }

  stored(partition: number, firstOffset: number, count: number): void {
    for (let i = 0; i < count; i++) {
      const sender = this.#takeSender();
      if (this.#options.ack === 'offset')
        this.#answer(sender, placeText(partition, firstOffset === -1 ? -1 : firstOffset + i));
    }
  }

  refused(error: TandemError, count: number): void {
    for (let i = 0; i < count; i++) this.#refuse(this.#takeSender(), error);
  }

  flushed(): void {}

  #receive(data: Buffer, from: RemoteInfo): void {
    this.#received++;
    const { ingest, limits } = this.#options;
    if (data.length > limits.recordBytesMax) this.#turnAway(from, 'TANDEM_RECORD_TOO_LARGE');
    else if (ingest.isSaturated || this.#waiting.length >= WAITING_MAX) this.#turnAway(from, 'TANDEM_OVERLOADED');
    else if (this.#lane !== undefined) this.#take(this.#lane, data, from);
    else {
      this.#waiting.push({ data, from });
      if (!this.#isOpening) this.#openLane();
    }
  }

  #receiveProxied(unwrap: Unwrap, datagram: Buffer, from: RemoteInfo): void {
    const data = unwrap(datagram, from);
    if (data !== undefined) {
      this.#receive(data, from);
      return;
    }
    this.#received++;
    this.#turnedAway++;
  }

  #take(lane: Lane, data: Buffer, from: RemoteInfo): void {
    this.#senders.push(from);
    lane.addData(data);
  }

  /** At the first datagram, not at start: so a topic that cannot be had is told to those who send to it. */
  #openLane(): void {
    this.#isOpening = true;
    this.#options.ingest
      .openLane({ topic: this.#options.topic, sink: this })
      .then((lane) => {
        this.#lane = lane;
        for (const { data, from } of this.#waiting) this.#take(lane, data, from);
      })
      .catch((thrown: unknown) => {
        const error = asTandemError(thrown);
        for (const { from } of this.#waiting) this.#refuse(from, error);
      })
      .finally(() => {
        this.#waiting = [];
        this.#isOpening = false;
      });
  }

  #takeSender(): RemoteInfo {
    const sender = this.#senders[this.#nextSender++] as RemoteInfo;
    if (this.#nextSender * 2 > this.#senders.length) {
      this.#senders.splice(0, this.#nextSender);
      this.#nextSender = 0;
    }
    return sender;
  }

  #turnAway(from: RemoteInfo, code: 'TANDEM_RECORD_TOO_LARGE' | 'TANDEM_OVERLOADED'): void {
    this.#turnedAway++;
    this.#refuse(from, new TandemError(code));
  }

  #refuse(to: RemoteInfo, error: TandemError): void {
    if (this.#options.ack === 'offset') this.#answer(to, `ERR ${error.code} ${error.message}`);
  }

  #answer(to: RemoteInfo, text: string): void {
    // A failed answer is as good as a lost one; the sender sends again.
    this.#socket?.send(text, to.port, to.address, () => {});
  }
}
