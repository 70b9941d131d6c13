/** How one node of a cluster sees it: the answer to CLUSTER NODES. */
import type { RedisAddress } from '../../../core/redis-url.ts';

export interface ClusterNode {
  readonly id: string;
  readonly address: RedisAddress;
  readonly isMaster: boolean;
  /** Answers this node, and is not believed dead by most. */
  readonly isWell: boolean;
  readonly configEpoch: number;
  /** First and last, of each run of slots. */
  readonly slots: readonly (readonly [number, number])[];
}

/** `id host:port@bus[,name] flags master ping pong epoch link slots...`, one line per node. `asked`: whose own host is empty until it is met. */
export function parseClusterNodes(text: string, asked: RedisAddress, isTls: boolean): ClusterNode[] {
  return text
    .split('\n')
    .map((line) => line.trim().split(' '))
    .filter(([, place]) => place !== undefined)
    .map((words) => parseNode(words, asked, isTls))
    .filter((node) => node !== undefined);
}

function parseNode(words: readonly string[], asked: RedisAddress, isTls: boolean): ClusterNode | undefined {
  const [id = '', place = '', flagText = '', , , , epoch = '', link, ...slotTexts] = words;
  const flags = flagText.split(',');
  const match = /^(.*):(\d+)@\d+(?:,([^,]*))?/.exec(place);
  if (match === null || flags.includes('noaddr') || flags.includes('handshake')) return undefined;
  const [, ip = '', port = '', name = ''] = match;
  // A certificate is made out to a name.
  const host = isTls && name !== '' ? name : ip;
  const isOwn = flags.includes('myself');
  return {
    id,
    address: { host: isOwn && host === '' ? asked.host : host, port: Number(port) },
    isMaster: flags.includes('master'),
    isWell: !flags.includes('fail') && (isOwn || link === 'connected'),
    configEpoch: Number(epoch),
    slots: slotTexts.filter((slot) => /^\d/.test(slot)).map(parseRun),
  };
}

/** `5` or `0-5460`. Slots on their way, `[5-<-id]`, belong to whom they came from until they have arrived. */
function parseRun(text: string): readonly [number, number] {
  const [first = '', last = first] = text.split('-');
  return [Number(first), Number(last)];
}

/** Who serves the slot: of all claims in all views the one with the highest epoch. */
export function bestClaim(views: Iterable<readonly ClusterNode[]>, slot: number): ClusterNode | undefined {
  let best: ClusterNode | undefined;
  for (const view of views)
    for (const node of view)
      if (node.isMaster && (best === undefined || node.configEpoch > best.configEpoch) && serves(node, slot))
        best = node;
  return best;
}

const serves = ({ slots }: ClusterNode, slot: number): boolean =>
  slots.some(([first, last]) => first <= slot && slot <= last);
