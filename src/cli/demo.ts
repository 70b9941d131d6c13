/** `tandem demo`: a cluster that is broken again and again before one's eyes, and the proof that nothing was lost. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { countOf } from './bench.ts';
import type { DemoPlan, DemoResult, DemoRun } from './demo/demo-run.ts';
import { FAULTS, type FaultKind } from './demo/takeovers.ts';
import { EXIT } from './exit-codes.ts';
import { action, type OutputOptions, withJson } from './options.ts';
import { err, out, printJson, styled } from './terminal.ts';

interface DemoOptions extends OutputOptions {
  readonly minutes: number;
  readonly nodes: number;
  readonly every: number;
  readonly faults: readonly FaultKind[];
  readonly rate: number;
  readonly seed?: number;
  readonly data?: string;
}

const MS_PER_MINUTE = 60_000;
const SEED_MAX = 2 ** 32 - 1;
/** As the shell says it of a program that a signal has ended. */
const INTERRUPTED = 130;
const TERMINATED = 143;
/** The launcher may send a Ctrl-C of the terminal on, which has reached this process already. */
const SECOND_PRESS_MS = 500;
const LINE_MS = 1000;

const ABOUT = `
Real nodes on one data folder, one active, the others standing by; producers and
subscribers; and faults, again and again:
  kill        kill -9 of all processes of the active node: a standby takes over
  hang        all its processes are stopped: the standbys notice after
              cluster.heartbeatTimeoutMs (1 s), end it and one takes over
  switchover  another node is made active, in order
At the end everything is read back from the store and compared with what was
acked and what subscribers got. Exit code 0: nothing was lost, nothing doubled,
and there were never two active nodes.

Takeovers every few seconds are what the protection against flapping slows down:
the demo turns it off (cluster.takeoversMax: 1000000, cluster.minTenureMs: 0).`;

export function addDemo(program: Command): void {
  withJson(program.command('demo'))
    .description('break a cluster again and again, watch it carry on, and see the proof that nothing was lost')
    .option('--minutes <minutes>', 'how long', numberOf(0.01, 1440), 1)
    .option('--nodes <count>', 'nodes', countOf(5, 2), 3)
    .option('--every <seconds>', 'from one fault to the next', numberOf(0.1, 3600), 4)
    .addOption(new Option('--faults <kinds>', 'which').argParser(faultsOf).default(FAULTS, FAULTS.join(',')))
    .option('--rate <records>', 'records per second', countOf(20_000), 2000)
    .option('--seed <number>', 'the order of the faults (default: by chance)', countOf(SEED_MAX, 0))
    .option('--data <folder>', 'an empty folder for data, configs and logs; it is kept (default: a temporary one)')
    .addHelpText('after', ABOUT)
    .action(action(demo));
}

function numberOf(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!(value >= min && value <= max)) throw new InvalidArgumentError(`It must be a number from ${min} to ${max}.`);
    return value;
  };
}

function faultsOf(text: string): readonly FaultKind[] {
  const known: readonly string[] = FAULTS;
  const kinds = [...new Set(text.split(',').map((kind) => kind.trim()))];
  if (kinds.some((kind) => !known.includes(kind)))
    throw new InvalidArgumentError(`It must be one or more of ${known.join(', ')}.`);
  return kinds as FaultKind[];
}

async function demo(options: DemoOptions): Promise<number> {
  const { DemoRun } = await import('./demo/demo-run.ts');
  const { resultText } = await import('./demo/result-text.ts');
  const isJson = options.json === true;
  const isLive = !isJson && process.stdout.isTTY === true && process.env['TERM'] !== 'dumb';
  const { faultText, overText } = await import('./demo/event-lines.ts');
  const say = isLive ? () => {} : isJson ? err : out;
  const run = new DemoRun(planOf(options), {
    onFault: (fault) => say(faultText(fault)),
    onOver: (fault) => say(overText(fault)),
    onProblem: (problem) => say(`problem: ${problem}`),
  });
  const show = await (isLive ? showLive(run) : showLines(run, say));
  const obeyed = obeySignals(run, show);
  let result: DemoResult | undefined;
  try {
    result = await run.run();
  } finally {
    show.close();
    obeyed.close();
  }
  if (result === undefined) return INTERRUPTED;
  if (isJson) printJson(result);
  else out(resultText(result, styled));
  return result.isProven ? EXIT.ok : EXIT.failed;
}

const planOf = ({ minutes, nodes, every, faults, rate, seed, data }: DemoOptions): DemoPlan => ({
  program: process.argv[1] as string,
  ...{ durationMs: minutes * MS_PER_MINUTE, nodes, everyMs: every * 1000, faults, recordsPerSecond: rate },
  seed: seed ?? Math.floor(Math.random() * SEED_MAX),
  folder: data ?? null,
});

interface Closable {
  close(): void;
}

async function showLive(run: DemoRun): Promise<Closable> {
  const { LiveScreen } = await import('./demo/live-screen.ts');
  const { screenLines } = await import('./demo/screen.ts');
  return new LiveScreen(process.stdout, styled, (size) => screenLines(run.view(), size));
}

async function showLines(run: DemoRun, say: (line: string) => unknown): Promise<Closable> {
  const { secondText } = await import('./demo/event-lines.ts');
  const timer = setInterval(() => say(secondText(run.view())), LINE_MS);
  return { close: () => clearInterval(timer) };
}

/** Ctrl-C goes on to the proof, a second one and every other signal end it at once. Whatever ends this process ends all nodes. */
function obeySignals(run: DemoRun, show: Closable): Closable {
  let firstMs: number | undefined;
  const end = (code: number): void => {
    show.close();
    run.abandon();
    process.exit(code);
  };
  const interrupted = (): void => {
    firstMs ??= performance.now();
    if (performance.now() - firstMs > SECOND_PRESS_MS) end(INTERRUPTED);
    run.endEarly();
  };
  const terminated = (): void => end(TERMINATED);
  const exited = (): void => {
    show.close();
    run.killNow();
  };
  process.on('SIGINT', interrupted);
  process.on('SIGTERM', terminated).on('SIGHUP', terminated).on('SIGQUIT', terminated);
  process.on('exit', exited);
  // Started by the launcher, this process must not outlive it.
  process.on('disconnect', terminated);
  process.channel?.unref();
  return {
    close(): void {
      process.off('SIGINT', interrupted).off('exit', exited).off('disconnect', terminated);
      process.off('SIGTERM', terminated).off('SIGHUP', terminated).off('SIGQUIT', terminated);
    },
  };
}
