/** Which other node is active, as far as this one knows. */
import type { ElectorStatus } from '../cluster/elector-status.ts';
import type { NodeFacts } from '../core/contracts/cluster.ts';

/** Of those that it is linked with: a dead one stays known for a while. Of two the one of the higher term. */
export function activePeer({ peers }: Pick<ElectorStatus, 'peers'>): NodeFacts | undefined {
  return peers
    .filter(({ facts, isLost }) => facts.role === 'active' && !isLost)
    .map(({ facts }) => facts)
    .sort((a, b) => b.term - a.term)[0];
}
