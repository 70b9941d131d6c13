/** What a keeper tells its undertaker. */
import type { LeaseGrant } from '../core/contracts/engine.ts';
import type { NodeId } from '../supervisor/node-registry.ts';

export interface UndertakerTask {
  readonly url: string;
  readonly dataFolder: string;
  readonly self: NodeId;
}

export type ToUndertaker =
  | { readonly kind: 'begin'; readonly task: UndertakerTask }
  | { readonly kind: 'grant'; readonly grant: LeaseGrant }
  /** The keeper ends in order. */
  | { readonly kind: 'end' };
