/**
 * One timer for the pings of all connections. Members are spread over the slots of a wheel; each tick visits one slot, so that every member is
 * visited once a turn and never all at the same time. The timer runs only while there are members.
 */
import type { Clock, Timer } from '../../core/ports/clock.ts';

export interface WheelMember {
  /** Once per turn. */
  pingDue(): void;
}

const SLOTS = 32;

export class PingWheel<Member extends WheelMember> {
  readonly #clock: Clock;
  readonly #tickMs: number;
  readonly #slots: readonly Set<Member>[] = Array.from({ length: SLOTS }, () => new Set<Member>());
  #next = 0;
  #size = 0;
  #timer: Timer | undefined;

  constructor(clock: Clock, turnMs: number) {
    this.#clock = clock;
    this.#tickMs = turnMs / SLOTS;
  }

  get size(): number {
    return this.#size;
  }

  /** Returns the slot, for `delete`. The member is due a whole turn from now, or nearly. */
  add(member: Member): number {
    const slot = (this.#next + SLOTS - 1) % SLOTS;
    this.#slots[slot]?.add(member);
    this.#size++;
    this.#arm();
    return slot;
  }

  delete(member: Member, slot: number): void {
    if (this.#slots[slot]?.delete(member)) this.#size--;
    if (this.#size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** A copy: members may leave while it is walked. */
  members(): Member[] {
    return this.#slots.flatMap((slot) => [...slot]);
  }

  #arm(): void {
    this.#timer ??= this.#clock.after(this.#tickMs, () => {
      this.#timer = undefined;
      const due = [...(this.#slots[this.#next] ?? [])];
      this.#next = (this.#next + 1) % SLOTS;
      for (const member of due) member.pingDue();
      if (this.#size > 0) this.#arm();
    });
  }
}
