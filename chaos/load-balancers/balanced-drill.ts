/**
 * One cluster behind one load balancer, under load through it: lines with HELLO, HTTP, WebSocket, UDP, and a WebSocket subscriber; the active
 * node is killed, hung and switched. Measures when each client was served again, and judges the log at the end.
 */
import { rmSync } from 'node:fs';
import { until } from '../../src/core/testing/until.ts';
import { checkRecords } from '../checker.ts';
import { HandledWatch } from '../evidence/handled-watch.ts';
import { Values } from '../evidence/values.ts';
import type { NodeUnderTest } from '../node-under-test.ts';
import { HttpProducer } from '../producers/http-producer.ts';
import { type Producer, pause } from '../producers/producer.ts';
import { TcpProducer } from '../producers/tcp-producer.ts';
import { UdpProducer } from '../producers/udp-producer.ts';
import { WebSocketProducer } from '../producers/websocket-producer.ts';
import { readLog } from '../read-back.ts';
import { WebSocketSubscriber } from '../readers/websocket-subscriber.ts';
import type { BalancedCluster, FrontPorts } from './balanced-cluster.ts';

export type BalancedFault = 'kill' | 'hang' | 'switch';

export interface FaultReport {
  readonly fault: BalancedFault;
  /** What the nodes themselves say of a switchover. */
  readonly ownPauseMs: number | null;
  /** By client: the longest time without an acknowledgement, until it was served by the node that has taken over. */
  readonly pausesMs: { readonly [client: string]: number };
}

export interface DrillReport {
  readonly faults: readonly FaultReport[];
  readonly acked: number;
  readonly stored: number;
  readonly breaches: readonly string[];
}

const SETTLE_MS = 30_000;
const LOAD_MS = 300;
/** A machine with few cores runs the clients, the balancer and three nodes: a load that leaves it room. */
const RECORDS_PER_SECOND = 300;

export class BalancedDrill {
  readonly #cluster: BalancedCluster;
  readonly #values = new Values();
  readonly #producers: readonly Producer[];
  readonly #subscriber: WebSocketSubscriber;
  readonly #faults: FaultReport[] = [];

  /** `front`: where the load balancer listens; it may have no UDP. */
  constructor(cluster: BalancedCluster, front: Omit<FrontPorts, 'udp'> & Partial<FrontPorts>) {
    const { http, lines, udp } = front;
    this.#cluster = cluster;
    const values = this.#values;
    const load = (name: string, port: number) => ({ name, port, values, recordsPerSecond: RECORDS_PER_SECOND });
    const probe = { framing: 'line', hasSequence: true, inFlight: 1, reconnectMs: 2 } as const;
    this.#producers = [
      new TcpProducer({ ...load('probe', lines), ...probe }).start(),
      new TcpProducer({ ...load('lines', lines), framing: 'line', hasSequence: true, inFlight: 16 }).start(),
      new HttpProducer({ ...load('http', http), batch: 1 }),
      new WebSocketProducer({ ...load('websocket', http), inFlight: 4 }).start(),
      ...(udp === undefined ? [] : [new UdpProducer(load('udp', udp))]),
    ];
    this.#subscriber = new WebSocketSubscriber({ name: 'subscriber', port: http, values });
  }

  /** Resolves when every client is served. */
  serve(): Promise<void> {
    return this.#servedSince(performance.now());
  }

  async inflict(fault: BalancedFault): Promise<FaultReport> {
    const active = await this.#cluster.settle();
    await this.serve();
    await pause(LOAD_MS);
    for (const { history } of this.#producers) history.longestPauseMs = 0;
    const ownPauseMs = await this.#harm(fault, active);
    // What hangs is ended by who takes over; it joins again as a standby.
    await until('the node is gone or goes on', () => fault === 'switch' || !active.isRunning, SETTLE_MS);
    await this.serve();
    const entries = this.#producers.map(({ history }) => [history.name, Math.round(history.longestPauseMs)]);
    const report = { fault, ownPauseMs, pausesMs: Object.fromEntries(entries) as FaultReport['pausesMs'] };
    this.#faults.push(report);
    return report;
  }

  async finish(): Promise<DrillReport> {
    await this.#cluster.settle();
    await Promise.all(this.#producers.map((producer) => producer.stop()));
    const log = await readLog(`http://127.0.0.1:${this.#cluster.front.http}`, this.#values);
    const stored = [...log.values()].reduce((sum, codes) => sum + codes.length, 0);
    await until('the subscriber is through', () => this.#subscriber.watch.count >= stored, SETTLE_MS).catch(() => {});
    await this.#subscriber.stop();
    // There are no handlers here, so nothing is to be said of them.
    const handled = Object.assign(new HandledWatch(this.#values), { seen: log });
    const sources = this.#producers.map(({ history }) => history);
    const { breaches } = checkRecords({
      values: this.#values,
      sources,
      log,
      subscribers: [this.#subscriber.watch],
      handled,
    });
    return {
      faults: this.#faults,
      acked: sources.reduce((sum, { acked }) => sum + acked, 0),
      stored,
      breaches: [...this.#producers.flatMap(({ complaints }) => complaints), ...breaches],
    };
  }

  abandon(): void {
    for (const producer of this.#producers) producer.abandon();
    void this.#subscriber.stop();
  }

  async #harm(fault: BalancedFault, active: NodeUnderTest): Promise<number | null> {
    if (fault === 'kill') await active.killAll();
    if (fault === 'hang') active.hang();
    return fault === 'switch' ? Math.round((await this.#cluster.switchOver()).pauseMs) : null;
  }

  async #servedSince(startMs: number): Promise<void> {
    const waiting = (): string[] =>
      this.#producers.filter(({ history }) => history.lastSentMs <= startMs).map(({ history }) => history.name);
    await until(
      () => `all clients are served: ${waiting().join()} are not`,
      () => waiting().length === 0,
      SETTLE_MS,
    );
  }
}

/** Resolves when nothing of it is left. */
export async function endDrill(
  drill: BalancedDrill | undefined,
  cluster: BalancedCluster,
  folder: string,
): Promise<void> {
  drill?.abandon();
  await cluster.end();
  rmSync(folder, { recursive: true, force: true, maxRetries: 50, retryDelay: 20 });
}
