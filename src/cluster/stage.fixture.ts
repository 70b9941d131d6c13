/** A simulated world without faults of its own, for tests that say themselves what happens. */
import assert from 'node:assert/strict';
import type { SwitchoverReport } from '../core/contracts/cluster.ts';
import type { TandemError } from '../core/errors.ts';
import { type SimNode, type StoreKind, World, type WorldSetup } from './simulation/world.fixture.ts';

export interface Settled<T> {
  result?: T;
  error?: TandemError;
  atMs?: number;
}

export class Stage {
  readonly world: World;
  readonly lines: string[] = [];

  constructor(kind: StoreKind, setup: WorldSetup = {}) {
    const timers = { minTenureMs: 0, takeoversMax: 1000, ...setup.timers };
    this.world = new World(kind, 7, (line) => this.lines.push(line), { nodes: 3, ...setup, timers });
  }

  get nowMs(): number {
    return this.world.scheduler.nowMs;
  }

  node(name: string): SimNode {
    const node = this.world.nodes.find((each) => each.name === name);
    assert.ok(node, name);
    return node;
  }

  /** Those that live and say that they are active. */
  get active(): SimNode[] {
    return this.world.living.filter(({ elector }) => elector.facts().role === 'active');
  }

  get standbys(): SimNode[] {
    return this.world.living.filter(({ elector }) => elector.facts().role === 'standby');
  }

  async run(durationMs: number): Promise<void> {
    await this.world.scheduler.advance(durationMs);
    assert.equal(this.world.checker.violation, undefined);
  }

  /** Returns how long it took, in ms. */
  async until(what: string, condition: () => boolean, boundMs: number): Promise<number> {
    const startMs = this.nowMs;
    while (!condition()) {
      assert.ok(this.nowMs - startMs < boundMs, `in vain until ${what}:\n${this.lines.join('\n')}`);
      await this.run(1);
    }
    return this.nowMs - startMs;
  }

  /** All nodes run and are warm, one is active: that one. */
  async started(): Promise<SimNode> {
    await this.run(700);
    assert.equal(this.active.length, 1);
    for (const { elector } of this.world.nodes) assert.ok(elector.facts().isReady);
    return this.active[0] as SimNode;
  }

  /** Somebody else than `before` is active and serves. Returns it and how long it took. */
  async successor(before: SimNode, boundMs: number): Promise<{ node: SimNode; tookMs: number }> {
    const { holder } = before.process;
    const others = (): SimNode[] => this.active.filter(({ process }) => process.holder !== holder);
    const tookMs = await this.until(`another than ${holder} is active`, () => others().length === 1, boundMs);
    return { node: others()[0] as SimNode, tookMs };
  }

  settled<T>(promise: Promise<T>): Settled<T> {
    const settled: Settled<T> = {};
    promise.then(
      (result) => Object.assign(settled, { result, atMs: this.nowMs }),
      (error) => Object.assign(settled, { error, atMs: this.nowMs }),
    );
    return settled;
  }

  async switchover(asked: SimNode, to: string | null, timeoutMs: number): Promise<Settled<SwitchoverReport>> {
    const settled = this.settled(asked.elector.switchover(to, timeoutMs));
    await this.until('the switchover settles', () => settled.atMs !== undefined, timeoutMs * 2 + 4000);
    return settled;
  }
}
