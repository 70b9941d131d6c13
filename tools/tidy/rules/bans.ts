/** What must not be called or written, each ban with what to use instead. */
import { isProduction, REPLAYABLE } from '../layout.ts';
import type { CallSite, Rule, SourceFile, Violation } from '../source-file.ts';

interface Ban {
  readonly appliesTo: (path: string) => boolean;
  readonly callee?: RegExp;
  readonly call?: (call: CallSite) => boolean;
  readonly module?: RegExp;
  readonly instead: string;
}

/** Measurements may wait for a time; tests wait for a condition. */
const mayNotSleep = (path: string): boolean => path.endsWith('.test.ts');
const isReplayable = (path: string): boolean => isProduction(path) && REPLAYABLE.some((pattern) => pattern.test(path));
const mayNotExit = (path: string): boolean => isProduction(path) && !/^src\/(cli|topology|supervisor)\//.test(path);
const mayNotAppend = (path: string): boolean => isProduction(path) && !/^src\/(ingest|engines)\//.test(path);

const BANS: readonly Ban[] = [
  {
    appliesTo: isReplayable,
    callee: /^(Date\.now|new Date|performance\.now|process\.hrtime(\.bigint)?)$/,
    instead: 'clock.nowMs() or clock.monotonicMs() of core/ports/clock.ts',
  },
  {
    appliesTo: isReplayable,
    callee: /^(setTimeout|setInterval)$/,
    instead: 'clock.after(…) or delay(clock, …) of core/ports/clock.ts',
  },
  { appliesTo: isReplayable, callee: /^setImmediate$/, instead: 'clock.soon(…) of core/ports/clock.ts' },
  {
    appliesTo: isReplayable,
    callee: /^(Math\.random|randomBytes|randomUUID|crypto\.random\w+)$/,
    instead: 'random.fraction() or random.id(…) of core/ports/random.ts',
  },
  { appliesTo: isReplayable, module: /^node:fs(\/promises)?$/, instead: 'the Disk port of core/ports/disk.ts' },
  {
    appliesTo: isReplayable,
    module: /^node:(net|dgram|tls|timers)(\/promises)?$/,
    instead: 'a port of core/ports, passed in',
  },
  {
    appliesTo: isProduction,
    callee: /^new (Error|RangeError|TypeError)$/,
    instead: 'new TandemError(code, …) of core/errors.ts',
  },
  {
    appliesTo: mayNotExit,
    callee: /^process\.(exit|abort)$/,
    instead: 'throw a TandemError; cli/, topology/ and supervisor/ decide about the process',
  },
  {
    appliesTo: mayNotAppend,
    callee: /(^|\.)#?(store|records|engine\.store)\.append$/i,
    instead: 'ingest.append(…) or a lane: only src/ingest appends',
  },
  {
    appliesTo: mayNotSleep,
    callee: /^sleep(Ms)?$/,
    instead: 'wait for the condition: until(…) of core/testing/until.ts',
  },
  {
    appliesTo: mayNotSleep,
    module: /^(node:)?timers\/promises$/,
    instead: 'wait for the condition: until(…) of core/testing/until.ts',
  },
  {
    appliesTo: mayNotSleep,
    call: ({ callee, firstArgument }) =>
      callee === 'new Promise' && /^\(?\s*\w*[^)]*\)?\s*=>\s*(void\s+)?setTimeout\(/.test(firstArgument),
    instead: 'wait for the condition: until(…) of core/testing/until.ts',
  },
];

export const bans: Rule = (files) =>
  files.flatMap((file) => BANS.filter((ban) => ban.appliesTo(file.path)).flatMap((ban) => breachesOf(file, ban)));

function breachesOf(file: SourceFile, { callee, call, module, instead }: Ban): Violation[] {
  const calls = file.calls.filter((each) => callee?.test(each.callee) === true || call?.(each) === true);
  const imports = file.imports.filter((each) => !each.isType && module?.test(each.specifier) === true);
  return [
    ...calls.map((each) => ({
      path: file.path,
      line: each.line,
      rule: 'bans',
      message: `${each.callee}(…): use ${instead}`,
    })),
    ...imports.map((each) => ({
      path: file.path,
      line: each.line,
      rule: 'bans',
      message: `${each.specifier}: use ${instead}`,
    })),
  ];
}

const UNFINISHED = /\b(TODO|FIXME|XXX|HACK)\b/;

export const noUnfinishedMarks: Rule = (files) =>
  files.flatMap((file) =>
    file.comments
      .filter(({ text }) => UNFINISHED.test(text))
      .map(({ line }) => ({
        path: file.path,
        line,
        rule: 'bans',
        message: 'an unfinished mark: do it, or open an issue and say here what is so',
      })),
  );
