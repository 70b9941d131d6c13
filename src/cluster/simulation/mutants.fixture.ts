/**
 * Ways to break the cluster's code on purpose, each an edit of one or two places in a copy of it; the simulation over that copy must fail, by an
 * invariant that the edit breaks. An edit whose text is not found exactly once is out of date and fails too.
 */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { StoreKind } from './world.fixture.ts';

interface Edit {
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

export interface Mutant {
  readonly name: string;
  readonly kind: StoreKind;
  /** Any of them. */
  readonly breaks: readonly number[];
  /** Kinds of faults that it takes, where that is rare among all; see SeedJob. */
  readonly focus?: readonly string[];
  readonly edits: readonly Edit[];
}

const edit = (file: string, from: string, to: string): Edit => ({ file, from, to });

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'the deadline counts from the answer, however late',
    kind: 'timed',
    breaks: [1, 3],
    focus: ['storeLost'],
    edits: [
      edit(
        'lease-holding.ts',
        'return this.#hold(grant, deadlineMs);',
        'return this.#hold(grant, clock.monotonicMs() + timers.ttlMs - timers.marginMs);',
      ),
      edit('lease-holding.ts', '&& nowMs - sentMs <= storeTimeoutMs(timers))', ')'),
      edit(
        'lease-holding.ts',
        'sentMs + timers.ttlMs - timers.marginMs);\n  }',
        'nowMs + timers.ttlMs - timers.marginMs);\n  }',
      ),
    ],
  },
  {
    name: 'no margin',
    kind: 'timed',
    breaks: [3],
    edits: [
      edit(
        'lease-holding.ts',
        'clock.monotonicMs() + timers.ttlMs - timers.marginMs;',
        'clock.monotonicMs() + timers.ttlMs;',
      ),
      edit('lease-holding.ts', 'sentMs + timers.ttlMs - timers.marginMs);', 'sentMs + timers.ttlMs);'),
    ],
  },
  {
    name: 'nobody watches the deadline',
    kind: 'timed',
    breaks: [3],
    focus: ['storeLost'],
    edits: [
      edit('lease-holding.ts', '      this.#guard(grant);\n    }\n    return grant;', '    }\n    return grant;'),
    ],
  },
  {
    name: 'a grant that a newer one has ended counts',
    kind: 'timed',
    breaks: [1, 3],
    focus: ['overtaking'],
    edits: [edit('lease-holding.ts', ' || grant.term < this.#newestTerm)', ')')],
  },
  {
    name: 'a late grant is given back while an older one is in use',
    kind: 'timed',
    breaks: [3],
    focus: ['overtaking', 'storeTrouble'],
    edits: [edit('lease-holding.ts', 'if (this.#grants === grants) this', 'this')],
  },
  {
    name: 'the store is waited for without a bound',
    kind: 'timed',
    breaks: [4],
    edits: [
      edit('answer-in-time.ts', 'const timer = clock.after(boundMs, late);', 'const timer = clock.after(1e9, late);'),
    ],
  },
  {
    name: 'a lease lost while the node starts is not noticed',
    kind: 'timed',
    breaks: [1, 2, 3, 4],
    focus: ['badStart', 'toldFenced', 'badDuties'],
    edits: [
      edit('elector.ts', "if (this.#holding.grant !== grant) this.#lose('it ended while the node started');", ''),
      edit('elector.ts', "(phase !== 'promoting' && phase", '(phase'),
    ],
  },
  {
    name: 'a cut that began while a failed start was given up is forgotten',
    kind: 'timed',
    breaks: [2, 3, 4, 6],
    focus: ['pestered'],
    edits: [
      edit(
        'elector.ts',
        'if (this.#loss !== undefined) await this.#endLoss(this.#loss);\n    else this.#standBy();\n  }\n\n  async #startAlone',
        'this.#standBy();\n  }\n\n  async #startAlone',
      ),
    ],
  },
  {
    name: 'the lease is given back while the cut lasts',
    kind: 'kernel',
    breaks: [3, 6],
    edits: [edit('elector.ts', '    await cut;\n', '')],
  },
  {
    name: 'a cut that fails is not repeated',
    kind: 'kernel',
    breaks: [3, 4, 6],
    edits: [edit('cut.ts', "      logger.error('cut_failed'", "      return;\n      logger.error('cut_failed'")],
  },
  {
    name: 'two tries at once',
    kind: 'kernel',
    breaks: [1, 3, 6],
    edits: [
      edit('elector.ts', 'this.#attempt ??= this', 'this.#attempt = this'),
      edit(
        'elector.ts',
        "this.#standing.phase === 'standby' || this.#standing.phase === 'acquiring',",
        "this.#standing.phase !== 'active',",
      ),
    ],
  },
  {
    name: 'the lease is released before the work is stopped',
    kind: 'kernel',
    breaks: [3],
    edits: [
      edit(
        'switchover.ts',
        '    const report = await this.#stopServing(startMs, timeoutMs);',
        '    await holding.release({ holder: target.holder, forMs: 1000 });\n    const report = await this.#stopServing(startMs, timeoutMs);',
      ),
    ],
  },
  {
    name: 'what could not be stopped in a switchover is not cut',
    kind: 'kernel',
    breaks: [3, 6],
    edits: [edit('switchover.ts', 'await this.#place.cut(`could', 'void (`could')],
  },
  {
    name: 'consumers stay quiet after a switchover that was given up',
    kind: 'kernel',
    breaks: [4],
    edits: [edit('switchover.ts', 'await duties.unquiesce().catch', 'await Promise.resolve().catch')],
  },
  {
    name: 'a failed unquiesce is passed over',
    kind: 'kernel',
    breaks: [4],
    focus: ['badSwitchover'],
    edits: [edit('switchover.ts', 'this.#place.lose(`consumers', 'void (`consumers')],
  },
  {
    name: 'after a switchover the node is no candidate any more',
    kind: 'kernel',
    breaks: [4],
    edits: [edit('elector.ts', 'else this.#standBy();\n      },', "else this.#standing.enter('standby');\n      },")],
  },
  {
    name: 'a planned end does not drain',
    kind: 'kernel',
    breaks: [3],
    edits: [edit('elector.ts', 'await drain().catch', 'await Promise.resolve().catch')],
  },
  {
    name: 'a node that ends gives up the lease while it starts',
    kind: 'kernel',
    breaks: [3],
    focus: ['badStart'],
    edits: [
      edit('elector.ts', "if (this.#standing.phase === 'promoting') this.#lose('the node stops');", ''),
      edit('elector.ts', 'Promise.allSettled([this.#attempt, ', 'Promise.allSettled(['),
    ],
  },
  {
    name: 'a hung holder is not ended',
    kind: 'kernel',
    breaks: [4],
    edits: [edit('hang-watch.ts', 'await peers.fence({ name, holder });', 'void { name, holder, peers };')],
  },
  {
    name: 'a failed attempt to end a hung holder is the last',
    kind: 'kernel',
    breaks: [4],
    focus: ['noFencing'],
    edits: [edit('hang-watch.ts', 'this.#retryAtMs = clock.monotonicMs() + waitMs;', 'this.#retryAtMs = 1e12;')],
  },
  {
    name: 'a stall of our own proves that others hang',
    kind: 'kernel',
    breaks: [7],
    edits: [
      edit(
        'candidacy.ts',
        'timers.heartbeatTimeoutMs * OWN_STALL_PART) this.#book.freshStart(nowMs);',
        '1e12) this.#book.freshStart(nowMs);',
      ),
      edit('hang-watch.ts', 'if (this.#rival.isCandidate() && this.#isHung(held))', 'if (this.#rival.isCandidate())'),
    ],
  },
  {
    name: 'whoever holds the lease is ended, silent or not',
    kind: 'kernel',
    breaks: [7],
    edits: [edit('hang-watch.ts', 'return silentMs > timers', 'return silentMs > -1 || silentMs > timers')],
  },
  {
    name: 'the term is not claimed at the sink',
    kind: 'timed',
    breaks: [2],
    edits: [edit('simulation/sim-duties.fixture.ts', '        sink.claim(term);\n', '')],
  },
  {
    name: 'the sink is read before the term is claimed',
    kind: 'timed',
    breaks: [2],
    focus: ['stopped', 'storeLost'],
    edits: [
      edit('simulation/sim-duties.fixture.ts', '        sink.claim(term);\n', '        checker.read(term);\n'),
      edit(
        'simulation/sim-duties.fixture.ts',
        '          checker.read(term);\n          if',
        '          sink.claim(term);\n          if',
      ),
    ],
  },
  {
    name: 'the sink does not compare',
    kind: 'timed',
    breaks: [2],
    edits: [edit('simulation/sim-duties.fixture.ts', 'return term >= this.#claimedTerm;', 'return term >= 0;')],
  },
];

const SOURCE = join(import.meta.dirname, '..', '..');

/** A copy of the code with the edits made: the thread that runs its seeds (seed-job.fixture.ts); `remove` deletes the copy. */
export function copyMutant({ edits }: Mutant): { entry: URL; remove: () => void } {
  const folder = mkdtempSync(join(tmpdir(), 'tandem-mutant-'));
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  try {
    mkdirSync(join(folder, 'src'));
    for (const part of ['cluster', 'core']) cpSync(join(SOURCE, part), join(folder, 'src', part), { recursive: true });
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
    const cluster = join(folder, 'src', 'cluster');
    for (const { file, from, to } of edits) {
      const path = join(cluster, file);
      const text = readFileSync(path, 'utf8');
      if (text.split(from).length !== 2) throw new Error(`${file} has not exactly one place with: ${from}`);
      writeFileSync(
        path,
        text.replace(from, () => to),
      );
    }
    return { entry: pathToFileURL(join(cluster, 'simulation', 'seed-worker.fixture.ts')), remove };
  } catch (error) {
    remove();
    throw error;
  }
}
