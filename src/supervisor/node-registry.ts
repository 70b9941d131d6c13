/**
 * The nodes that share a data folder, as folders of it:
 *
 *   <data>/run/nodes/<name>/<incarnation>/processes/<pid>    its keeper and workers (process-roll.ts)
 *   <socket folder>/keeper-<incarnation>.sock                where its keeper is reached (node-links.ts)
 *
 * A node that is started again is another incarnation; it ends what is left of its earlier ones. Entries of a dead node stay until then, or
 * until another node becomes active, and say nothing by themselves: who is alive is proven by locks and processes.
 */
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { socketFolder } from '../core/ports/local-sockets.ts';
import { ProcessRoll } from './process-roll.ts';

export interface NodeId {
  readonly name: string;
  readonly incarnation: string;
}

export class NodeRegistry {
  readonly #folder: string;
  readonly #sockets: string;

  constructor(dataFolder: string) {
    this.#folder = join(dataFolder, 'run', 'nodes');
    this.#sockets = socketFolder(dataFolder);
  }

  /** Makes the node's entry if there is none. */
  rollOf({ name, incarnation }: NodeId): ProcessRoll {
    return new ProcessRoll(join(this.#folder, name, incarnation, 'processes'));
  }

  socketPath({ incarnation }: NodeId): string {
    return join(this.#sockets, `keeper-${incarnation}.sock`);
  }

  /** All entries, dead ones too. */
  list(): readonly NodeId[] {
    return namesIn(this.#folder).flatMap((name) =>
      namesIn(join(this.#folder, name)).map((incarnation) => ({ name, incarnation })),
    );
  }

  /** Only of one whose processes have ended. */
  remove(node: NodeId): void {
    rmSync(this.socketPath(node), { force: true });
    rmSync(join(this.#folder, node.name, node.incarnation), { recursive: true, force: true });
  }
}

export const holderOf = ({ name, incarnation }: NodeId): string => `${name}/${incarnation}`;

export function nodeOf(holder: string): NodeId {
  const [name = '', incarnation = ''] = holder.split('/');
  return { name, incarnation };
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
