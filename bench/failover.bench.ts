/** A worker is killed with -9 under load: time to the next ack of a new connection to the same port. */
import { Values } from '../chaos/evidence/values.ts';
import { pause } from '../chaos/producers/producer.ts';
import { TcpProducer } from '../chaos/producers/tcp-producer.ts';
import { nextAckMs } from './load/next-ack.ts';
import { atMost, type Bench, type Measure, percentile } from './measure.ts';
import { discard, startTandem } from './tandem-server.ts';

const KILLS = 20;
/** The keeper forks a new spare after each kill; it must be there before the next one. */
const BETWEEN_KILLS_MS = 1500;

export const failoverBench: Bench = async (say) => {
  const measures: Measure[] = [];
  for (const workers of [1, 2]) {
    const node = await startTandem(workers);
    const load = Array.from({ length: 4 }, (_, i) => {
      const options = { port: node.ports.lines, framing: 'line', hasSequence: true, inFlight: 64 } as const;
      return new TcpProducer({ name: `load-${i}`, values: new Values(), ...options }).start();
    });
    const times: number[] = [];
    for (let i = 0; i < KILLS; i++) {
      await pause(BETWEEN_KILLS_MS);
      say(`${workers} worker(s): kill ${i + 1} of ${KILLS}`);
      node.killWorker(0);
      times.push(await nextAckMs(node.ports.lines));
    }
    await Promise.all(load.map((producer) => producer.stop()));
    await discard(node);
    const value = percentile(times, 0.99);
    measures.push({
      name: `worker killed under load, ${workers} worker(s): next ack, worst of ${KILLS}`,
      unit: 'ms',
      value,
      rounds: times,
      bound: atMost(value, 100, 'ms'),
    });
  }
  return measures;
};
