/** A node's work: it claims its term at the sink, reads, writes, and stops, each in its time; and the sink. */
import type { DemoteReport, NodeDuties } from '../../core/contracts/cluster.ts';
import { TandemError } from '../../core/errors.ts';
import type { Random } from '../../core/ports/random.ts';
import type { CheckedDuties, Checker } from './checker.fixture.ts';
import type { Scheduler, SimProcess } from './scheduler.fixture.ts';

/** What stores: it compares the term of each write with the highest that was claimed. */
export class SimSink {
  #claimedTerm = 0;

  claim(term: number): void {
    if (term < this.#claimedTerm) throw new TandemError('TANDEM_TERM_FENCED');
    this.#claimedTerm = term;
  }

  write(term: number): boolean {
    return term >= this.#claimedTerm;
  }
}

export interface DutyFaults {
  /** The parts of calls that reject, and that never settle by themselves. */
  promoteFails: number;
  quiesceFails: number;
  unquiesceFails: number;
  demoteFails: number;
  hangs: number;
  cutFails: number;
  /** A start takes at most so long. */
  promoteMsMax: number;
}

export const WELL: DutyFaults = {
  promoteFails: 0,
  quiesceFails: 0,
  unquiesceFails: 0,
  demoteFails: 0,
  hangs: 0,
  cutFails: 0,
  promoteMsMax: 60,
};

type Transition = 'promote' | 'quiesce' | 'demote' | 'cut';

export interface SimDutiesParts {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly checker: Checker;
  readonly sink: SimSink;
  readonly process: SimProcess;
  readonly faults: () => DutyFaults;
  /** How long a cut may take. */
  readonly cutMsMax: number;
  readonly holdsUntilMs: () => number;
  readonly onReady: () => void;
}

const WRITE_MS_MAX = 300;
const WARM_UP_MS_MAX = 200;

export class SimDuties implements NodeDuties, CheckedDuties {
  readonly process: SimProcess;
  readonly holdsUntilMs: () => number;
  readonly #parts: SimDutiesParts;
  /** Where the work is done. Ends when it is cut, and some time after its keeper. */
  workers: SimProcess;
  term = 0;
  isStarting = false;
  isWriting = false;
  isQuiesced = false;
  wasStopped = false;
  underWay: Transition | undefined;
  #run = 0;
  #abandon: ((error: TandemError) => void)[] = [];

  constructor(parts: SimDutiesParts) {
    this.#parts = parts;
    this.process = parts.process;
    this.holdsUntilMs = parts.holdsUntilMs;
    this.workers = this.#newWorkers();
    this.#warmUp();
  }

  promote(term: number): Promise<void> {
    const { checker, sink, faults } = this.#parts;
    this.term = term;
    checker.starting(this, term);
    this.underWay = 'promote';
    this.isStarting = true;
    this.isQuiesced = false;
    this.wasStopped = false;
    const isFailing = this.#isHit(faults().promoteFails);
    const stepMsMax = faults().promoteMsMax / 3;
    return this.#perform('promote', (step, end, fail) => {
      step(this.#upTo(stepMsMax), () => {
        sink.claim(term);
        step(this.#upTo(stepMsMax), () => {
          checker.read(term);
          if (isFailing) return fail(() => this.#rest());
          step(this.#upTo(stepMsMax), () => {
            this.isWriting = true;
            this.#writeLater(this.#run, term);
            end(() => {
              this.isStarting = false;
            });
          });
        });
      });
    });
  }

  quiesce(deadlineMs: number): Promise<void> {
    const { faults } = this.#parts;
    this.isQuiesced = true;
    const isFailing = this.#isHit(faults().quiesceFails);
    return this.#perform('quiesce', (step, end, fail) => {
      if (!this.#isHit(faults().hangs)) step(this.#upTo(Math.min(deadlineMs, 200)), () => (isFailing ? fail() : end()));
    });
  }

  unquiesce(): Promise<void> {
    if (this.underWay === 'quiesce') this.underWay = undefined;
    if (this.#isHit(this.#parts.faults().unquiesceFails)) return Promise.reject(new TandemError('TANDEM_WORKER_LOST'));
    this.isQuiesced = false;
    return Promise.resolve();
  }

  demote(deadlineMs: number): Promise<DemoteReport> {
    const { faults } = this.#parts;
    const isFailing = this.#isHit(faults().demoteFails);
    const report = { recordsInFlight: 3, clients: 5 };
    return this.#perform('demote', (step, end, fail) => {
      if (this.#isHit(faults().hangs)) return;
      step(this.#upTo(Math.min(deadlineMs, 200)), () => {
        if (isFailing) return fail();
        this.#rest();
        this.#warmUp();
        end();
      });
    }).then(() => report);
  }

  cut(): Promise<void> {
    const { scheduler, cutMsMax, faults } = this.#parts;
    const isFailing = this.#isHit(faults().cutFails);
    this.underWay = 'cut';
    return new Promise((resolve, reject) => {
      scheduler.after(this.#upTo(cutMsMax), this.process, () => {
        if (isFailing) return reject(new TandemError('TANDEM_WORKER_LOST'));
        this.workers.isAlive = false;
        this.workers = this.#newWorkers();
        this.#rest();
        this.underWay = undefined;
        const abandon = this.#abandon;
        this.#abandon = [];
        for (const each of abandon) each(new TandemError('TANDEM_WORKER_LOST'));
        this.#warmUp();
        resolve();
      });
    });
  }

  /** Ends with the keeper, or soon after. */
  orphan(forMs: number): void {
    this.#parts.scheduler.after(forMs, undefined, () => {
      this.workers.isAlive = false;
      this.#parts.checker.forget(this);
    });
  }

  #rest(): void {
    this.#run++;
    this.isWriting = false;
    this.isStarting = false;
  }

  #perform(
    name: Transition,
    body: (
      step: (delayMs: number, run: () => void) => void,
      end: (also?: () => void) => void,
      fail: (also?: () => void) => void,
    ) => void,
  ): Promise<void> {
    const { scheduler } = this.#parts;
    const run = this.#run;
    this.underWay = name;
    return new Promise((resolve, reject) => {
      const settle = (settled: () => void) => (also?: () => void) => {
        also?.();
        scheduler.after(0, this.process, () => {
          if (this.underWay === name) this.underWay = undefined;
          settled();
        });
      };
      const fail = settle(() => {
        this.#warmUp();
        reject(new TandemError('TANDEM_WORKER_LOST'));
      });
      this.#abandon.push(reject);
      const step = (delayMs: number, next: () => void): void => {
        scheduler.after(delayMs, this.workers, () => {
          if (this.#run !== run) return;
          try {
            next();
          } catch {
            this.#rest();
            fail();
          }
        });
      };
      body(step, settle(resolve), fail);
    });
  }

  #writeLater(run: number, term: number): void {
    const { scheduler, checker, sink } = this.#parts;
    scheduler.after(this.#upTo(WRITE_MS_MAX), this.workers, () => {
      if (this.#run !== run) return;
      checker.wrote(this, term, sink.write(term));
      this.#writeLater(run, term);
    });
  }

  #warmUp(): void {
    this.#parts.scheduler.after(this.#upTo(WARM_UP_MS_MAX), this.process, this.#parts.onReady);
  }

  #newWorkers(): SimProcess {
    return this.process.sibling();
  }

  #upTo(maxMs: number): number {
    return this.#parts.random.fraction() * maxMs;
  }

  #isHit(probability: number): boolean {
    return probability > 0 && this.#parts.random.fraction() < probability;
  }
}
