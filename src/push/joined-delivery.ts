/**
 * The deliveries of several channels in one flush, for one write. Sessions with the same channels share the joined bytes: a node stands for a
 * sequence of deliveries, its children for that sequence and one more. A tree lives as long as its flush.
 */
import type { ChannelPolicy, Delivery } from '../core/contracts/push.ts';

export class JoinedDelivery {
  readonly delivery: Delivery | undefined;
  readonly policy: ChannelPolicy | undefined;
  readonly #parent: JoinedDelivery | undefined;
  #next: Map<Delivery, JoinedDelivery> | undefined;
  #bytes: Buffer | undefined;

  /** Without arguments: the empty sequence, the root of a flush. */
  constructor(parent?: JoinedDelivery, delivery?: Delivery, policy?: ChannelPolicy) {
    this.#parent = parent;
    this.delivery = delivery;
    this.policy = policy;
  }

  with(delivery: Delivery, policy: ChannelPolicy): JoinedDelivery {
    this.#next ??= new Map();
    let next = this.#next.get(delivery);
    if (next === undefined) {
      next = new JoinedDelivery(this, delivery, policy);
      this.#next.set(delivery, next);
    }
    return next;
  }

  /** From the first on. */
  parts(): { delivery: Delivery; policy: ChannelPolicy }[] {
    const parts = this.#parent?.parts() ?? [];
    if (this.delivery !== undefined && this.policy !== undefined)
      parts.push({ delivery: this.delivery, policy: this.policy });
    return parts;
  }

  get bytes(): Buffer {
    this.#bytes ??= joined(this.parts().map((part) => part.delivery.bytes));
    return this.#bytes;
  }
}

const joined = (pieces: Buffer[]): Buffer => (pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces));
