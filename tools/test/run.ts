/**
 * `npm test [-- part-of-a-path ...]`: every check and test of the project, as one run of Node's test runner; its summary is the end of the output.
 *
 *   tools/   types, lint, dead code, the project's laws, docs that match the code, the packed package
 *   src/     unit tests and the conformance suite of every engine; afterwards the gate that proves that it ran
 *   client/  the client library against real nodes, in Node and in a browser
 *   chaos/   real processes, kill -9 under load     examples/, bench/   run with tiny input
 *
 * Skipped tests are listed before the summary. With CI set, a skip is a failure.
 */
import { existsSync, globSync } from 'node:fs';
import { join } from 'node:path';
import { Readable, Transform, type TransformCallback } from 'node:stream';
import { run } from 'node:test';
import { spec as SpecReporter } from 'node:test/reporters';
import { gateProblems } from '../../src/engines/conformance/gate.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const FOLDERS = ['tools', 'src', 'client', 'examples', 'bench', 'chaos'];
/** Where the cases of the conformance suite are declared, whichever engine runs them. */
const CONFORMANCE_RUN = join(ROOT, 'src', 'engines', 'conformance', 'run-conformance.ts');
const CONCURRENCY = 2;
/** Whole nodes under load, with bounds on the time in which they are back: one file at a time, or they would be judged by each other's load. */
const ALONE = ['bench', 'chaos'];
const FILE_TIMEOUT_MS = 14 * 60_000;

const isCi = (process.env['CI'] ?? '') !== '' && process.env['CI'] !== 'false';
const parts = process.argv.slice(2);
const files = FOLDERS.flatMap((folder) => globSync(`${folder}/**/*.test.ts`, { cwd: ROOT }))
  .filter((path) => !path.includes('node_modules') && (parts.length === 0 || parts.some((part) => path.includes(part))))
  .sort(
    (a, b) => FOLDERS.indexOf(a.split('/')[0] ?? '') - FOLDERS.indexOf(b.split('/')[0] ?? '') || a.localeCompare(b),
  );

interface TestEvent {
  readonly type: string;
  readonly data: {
    readonly name?: string;
    readonly file?: string;
    readonly skip?: string | boolean;
    readonly nesting?: number;
    readonly message?: string;
  };
}

/** Collects skips; puts what must not be overlooked in front of the summary. */
class Notices extends Transform {
  readonly #skipped: string[] = [];
  #declared = 0;
  #isTold = false;

  constructor() {
    super({ objectMode: true });
  }

  override _transform(event: TestEvent, _encoding: BufferEncoding, done: TransformCallback): void {
    if (event.type === 'test:pass' && event.data.skip !== undefined && event.data.skip !== false) this.#skip(event);
    if (event.type === 'test:fail') process.exitCode = 1;
    if (!this.#isTold && isSummary(event)) {
      this.#isTold = true;
      for (const notice of this.#notices()) this.push({ type: 'test:stdout', data: { message: `${notice}\n` } });
    }
    done(null, event);
  }

  /** What an engine cannot do, as it declares, is no gap: the gate holds each such skip against the declaration. */
  #skip({ data: { name, file = '', skip } }: TestEvent): void {
    if (file === CONFORMANCE_RUN) this.#declared++;
    else this.#skipped.push(`${name}: ${skip === true ? 'no reason given' : skip}`);
  }

  #notices(): string[] {
    const notices = FOLDERS.filter((folder) => !existsSync(join(ROOT, folder))).map(
      (folder) => `NOT RUN: there is no ${folder}/ yet`,
    );
    if (parts.length > 0) return [...notices, `NOT RUN: everything but ${parts.join(', ')}, and the conformance gate`];
    const gate = gateProblems().map((problem) => `CONFORMANCE GATE: ${problem}`);
    const skips = this.#skipped.map((skip) => `SKIPPED: ${skip}`);
    if (gate.length > 0 || (isCi && skips.length > 0)) process.exitCode = 1;
    if (isCi && skips.length > 0) skips.push('With CI set, a skip is a failure.');
    const declared =
      this.#declared === 0
        ? []
        : [`NOT APPLICABLE: ${this.#declared} conformance cases, for capabilities that the engine says it lacks`];
    return ['', ...notices, ...declared, ...skips, ...gate];
  }
}

const TOTAL = /^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) [\d.]+$/;

/** The totals of the whole run ("tests 120"), which come after the last test. */
const isSummary = ({ type, data }: TestEvent): boolean =>
  type === 'test:diagnostic' && data.nesting === 0 && data.file === undefined && /^tests \d+$/.test(data.message ?? '');

const isTotal = ({ type, data }: TestEvent): boolean =>
  type === 'test:diagnostic' && data.nesting === 0 && data.file === undefined && TOTAL.test(data.message ?? '');

/** Of all files, as if it were one run: one summary, at the end. */
async function* eventsOf(): AsyncGenerator<TestEvent> {
  const totals = new Map<string, number>();
  const isAlone = (path: string): boolean => ALONE.includes(path.split('/')[0] ?? '');
  for (const [some, concurrency] of [
    [files.filter((path) => !isAlone(path)), CONCURRENCY],
    [files.filter(isAlone), 1],
  ] as const) {
    if (some.length === 0) continue;
    for await (const event of run({ files: [...some], cwd: ROOT, concurrency, timeout: FILE_TIMEOUT_MS })) {
      if (!isTotal(event as TestEvent)) yield event as TestEvent;
      else {
        const [name = '', count] = (event as TestEvent).data.message?.split(' ') ?? [];
        totals.set(name, (totals.get(name) ?? 0) + Number(count));
      }
    }
  }
  for (const [name, count] of totals)
    yield { type: 'test:diagnostic', data: { nesting: 0, message: `${name} ${count}` } };
}

if (files.length === 0) {
  process.stderr.write(`no test file's path contains ${parts.join(' or ')}\n`);
  process.exitCode = 2;
} else {
  Readable.from(eventsOf()).pipe(new Notices()).pipe(new SpecReporter()).pipe(process.stdout);
}
