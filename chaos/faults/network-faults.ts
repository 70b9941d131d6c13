/** Faults of the network before the clients that go through proxies. */
import type { LinkFaults } from '../fault-proxy/link-faults.ts';
import { pause } from '../producers/producer.ts';
import { type Fault, type NamedProxy, pick, type World } from './fault.ts';

const SHORT_MS = 300;
/** Longer than clients wait for an answer. */
const LONG_MS = 4000;

interface NetworkFault {
  readonly text: string;
  readonly faults?: Partial<LinkFaults>;
  readonly cut?: 'reset' | 'end';
  readonly forMs: number;
}

const NETWORK_FAULTS: readonly NetworkFault[] = [
  { text: 'delay', faults: { delayMs: 30, jitterMs: 50 }, forMs: 1500 },
  { text: 'loss', faults: { lossFraction: 0.2 }, forMs: 1500 },
  { text: 'duplicates', faults: { duplicateFraction: 0.3 }, forMs: 1500 },
  { text: 'disorder', faults: { reorderFraction: 0.3, jitterMs: 20 }, forMs: 1500 },
  { text: 'slow', faults: { bytesPerSecond: 30_000 }, forMs: 1500 },
  { text: 'outage', faults: { outage: 'both' }, forMs: SHORT_MS },
  { text: 'outage', faults: { outage: 'both' }, forMs: LONG_MS },
  { text: 'outage to the server', faults: { outage: 'to-server' }, forMs: SHORT_MS },
  { text: 'outage to the server', faults: { outage: 'to-server' }, forMs: LONG_MS },
  { text: 'outage to the clients', faults: { outage: 'to-client' }, forMs: SHORT_MS },
  { text: 'outage to the clients', faults: { outage: 'to-client' }, forMs: LONG_MS },
  { text: 'silent accept', faults: { accept: 'silence' }, cut: 'reset', forMs: LONG_MS },
  { text: 'refused', faults: { accept: 'refuse' }, cut: 'end', forMs: SHORT_MS },
  { text: 'reset', cut: 'reset', forMs: 0 },
  { text: 'end', cut: 'end', forMs: 0 },
];

export async function badNetwork({ proxies }: World, { choice, amount }: Fault): Promise<string> {
  const { text, faults, cut, forMs } = pick(NETWORK_FAULTS, amount) as NetworkFault;
  // One listener's clients, or all.
  const one = proxies[Math.floor(choice * (proxies.length + 1))];
  const hit: readonly NamedProxy[] = one === undefined ? proxies : [one];
  for (const { proxy } of hit) {
    if (faults !== undefined) proxy.set(faults);
    if (cut !== undefined) proxy.cut(cut);
  }
  await pause(forMs);
  for (const { proxy } of hit) proxy.heal();
  return `${text}, ${hit.map(({ name }) => name).join(' ')}${forMs > 0 ? ` for ${forMs} ms` : ''}`;
}
