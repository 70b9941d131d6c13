/** Where a plain client finds the master of a key, as the documentation tells clients to: ask Sentinels or nodes, then ask the server itself for its role. */
import { type RawReply, rawCall } from '../../../src/core/testing/redis-servers/raw-call.ts';

export interface Address {
  readonly host: string;
  readonly port: number;
}

export type MasterLookup =
  | { readonly kind: 'sentinel'; readonly sentinels: readonly Address[]; readonly master: string }
  | { readonly kind: 'cluster'; readonly nodes: readonly Address[] };

/** As Sentinels or nodes say. Rejects if nobody answers. */
export const saidMasterOf = (lookup: MasterLookup, key: string): Promise<Address> =>
  lookup.kind === 'sentinel' ? sentinelsWord(lookup) : nodesWord(lookup.nodes, key);

/** undefined: there is none now, as far as anybody says. */
export async function masterOf(lookup: MasterLookup, key: string): Promise<Address | undefined> {
  try {
    const address = await saidMasterOf(lookup, key);
    const role = (await call(address, 'ROLE')) as readonly RawReply[];
    return role[0] === 'master' ? address : undefined;
  } catch {
    return undefined;
  }
}

export const call = ({ host, port }: Address, ...args: readonly string[]): Promise<RawReply> =>
  rawCall({ host, port, password: undefined }, args);

async function sentinelsWord({ sentinels, master }: MasterLookup & { kind: 'sentinel' }): Promise<Address> {
  const [host, port] = await Promise.any(
    sentinels.map(async (each) => (await call(each, 'SENTINEL', 'get-master-addr-by-name', master)) as string[]),
  );
  return { host: host as string, port: Number(port) };
}

type SlotRange = readonly [from: number, to: number, master: readonly [host: string, port: number]];

async function nodesWord(nodes: readonly Address[], key: string): Promise<Address> {
  return Promise.any(
    nodes.map(async (node) => {
      const slot = (await call(node, 'CLUSTER', 'KEYSLOT', key)) as number;
      const ranges = (await call(node, 'CLUSTER', 'SLOTS')) as unknown as readonly SlotRange[];
      const range = ranges.find(([from, to]) => from <= slot && slot <= to);
      if (range === undefined) throw new RangeError(`nobody has slot ${slot}`);
      return { host: range[2][0], port: range[2][1] };
    }),
  );
}
