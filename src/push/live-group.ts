/**
 * The live subscriptions of one feed whose sessions share an encoder, in an array: the loop over it is what a broadcast costs, so it makes
 * nothing per session. Joining and leaving while it runs are safe: who joins is not in the running flush, who leaves leaves a hole until its end.
 */
import type { ChannelPolicy, Delivery, PushEncoder, SessionQueue } from '../core/contracts/push.ts';
import type { JoinedDelivery } from './joined-delivery.ts';

/** A member; the group keeps its place in `groupIndex`. */
export interface LiveMember {
  readonly queue: SessionQueue;
  readonly session: StagingSession;
  groupIndex: number;
}

/** A session that may have several channels in one flush. */
export interface StagingSession {
  readonly subscriptionCount: number;
  staged: JoinedDelivery | undefined;
}

export class LiveGroup {
  readonly encoder: PushEncoder;
  /** Without holes, except while a flush runs. */
  #members: (LiveMember | undefined)[] = [];
  #holes = 0;
  #isRunning = false;

  constructor(encoder: PushEncoder) {
    this.encoder = encoder;
  }

  get size(): number {
    return this.#members.length - this.#holes;
  }

  add(member: LiveMember): void {
    member.groupIndex = this.#members.length;
    this.#members.push(member);
  }

  remove(member: LiveMember): void {
    if (this.#isRunning) {
      this.#members[member.groupIndex] = undefined;
      this.#holes++;
      return;
    }
    const last = this.#members.pop() as LiveMember;
    if (last === member) return;
    this.#members[member.groupIndex] = last;
    last.groupIndex = member.groupIndex;
  }

  /** One write per session of the one shared buffer. */
  send(delivery: Delivery, policy: ChannelPolicy): void {
    const members = this.#members;
    const count = members.length;
    const { bytes } = delivery;
    this.#isRunning = true;
    try {
      for (let i = 0; i < count; i++) {
        const member = members[i];
        if (member !== undefined && !member.queue.offer(bytes)) member.queue.add(delivery, policy);
      }
    } finally {
      this.#finish();
    }
  }

  /** As `send`, in a flush of several channels: sessions with more than one channel are left to `staged`, to be written at its end. */
  stage(delivery: Delivery, policy: ChannelPolicy, root: JoinedDelivery, staged: StagingSession[]): void {
    const members = this.#members;
    const count = members.length;
    const { bytes } = delivery;
    this.#isRunning = true;
    try {
      for (let i = 0; i < count; i++) {
        const member = members[i];
        if (member === undefined) continue;
        const { session } = member;
        if (session.subscriptionCount > 1) {
          if (session.staged === undefined) staged.push(session);
          session.staged = (session.staged ?? root).with(delivery, policy);
        } else if (!member.queue.offer(bytes)) member.queue.add(delivery, policy);
      }
    } finally {
      this.#finish();
    }
  }

  members(): LiveMember[] {
    return this.#members.filter((member) => member !== undefined);
  }

  #finish(): void {
    this.#isRunning = false;
    if (this.#holes === 0) return;
    this.#members = this.members();
    this.#holes = 0;
    for (let i = 0; i < this.#members.length; i++) (this.#members[i] as LiveMember).groupIndex = i;
  }
}
