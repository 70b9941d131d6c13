/** `tandem bench`: a small load run against a running server. */
import { type Command, InvalidArgumentError } from 'commander';
import { TandemError } from '../core/errors.ts';
import { type LoadResult, runLoad } from './load-run.ts';
import { action, type OutputOptions, withJson } from './options.ts';
import { startProgress } from './progress.ts';
import { countText, durationText, out, printJson, styled, table } from './terminal.ts';

interface BenchOptions extends OutputOptions {
  readonly target: string;
  readonly connections: number;
  readonly inFlight: number;
  readonly seconds: number;
  readonly bytes: number;
  readonly token?: string;
}

const WARM_UP_MS = 1000;

export function addBench(program: Command): void {
  withJson(program.command('bench'))
    .description('send lines over TCP for some seconds and print how many were stored per second')
    .option('--target <url>', 'TCP line listener', 'tcp://127.0.0.1:9501')
    .option('--connections <count>', 'connections', countOf(10_000), 50)
    .option('--in-flight <count>', 'lines per connection that wait for their answer', countOf(100_000), 64)
    .option('--seconds <seconds>', 'how long to measure', countOf(3600), 5)
    .option('--bytes <bytes>', 'bytes per record', countOf(1_048_576), 200)
    .option('--token <token>', 'bearer token (env: TANDEM_TOKEN)')
    .action(action(bench));
}

export function countOf(max: number, min = 1): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < min || value > max)
      throw new InvalidArgumentError(`It must be an integer from ${min} to ${max}.`);
    return value;
  };
}

async function bench(options: BenchOptions): Promise<void> {
  const { hostname, port, protocol } = parseTarget(options.target);
  if (protocol !== 'tcp:')
    throw new TandemError('TANDEM_CONFIG_INVALID', { detail: '--target must be tcp://HOST:PORT' });
  const progress = startProgress('stored');
  try {
    const result = await runLoad({
      host: hostname.replace(/^\[|\]$/g, ''),
      port: Number(port),
      token: options.token ?? (process.env['TANDEM_TOKEN'] || undefined),
      connections: options.connections,
      inFlight: options.inFlight,
      recordBytes: options.bytes,
      warmUpMs: WARM_UP_MS,
      durationMs: options.seconds * 1000,
      onProgress: (acked) => progress.update(acked),
    });
    progress.end();
    if (options.json)
      printJson({
        ...result,
        connections: options.connections,
        inFlight: options.inFlight,
        recordBytes: options.bytes,
      });
    else printResult(options, result);
  } finally {
    progress.end();
  }
}

function parseTarget(target: string): URL {
  if (!URL.canParse(target)) throw new TandemError('TANDEM_CONFIG_INVALID', { detail: `${target} is not a URL` });
  return new URL(target);
}

function printResult(options: BenchOptions, result: LoadResult): void {
  const { connections, inFlight, bytes } = options;
  out(`${styled('bold', `${countText(result.ackedPerSecond)} records/s`)} stored and acknowledged`);
  out(
    table(
      ['connections', 'in flight', 'bytes', 'acked', 'refused', 'p50', 'p99', 'max'],
      [
        [
          connections,
          inFlight,
          bytes,
          countText(result.ackedRecords),
          countText(result.refusedRecords),
          durationText(result.latencyMs.p50),
          durationText(result.latencyMs.p99),
          durationText(result.latencyMs.max),
        ],
      ],
    ),
  );
}
