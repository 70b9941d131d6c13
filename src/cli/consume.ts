/** `tandem consume`: the consumers of the config, their lag, and what an operator may do with them. */
import type { Command } from 'commander';
import { TandemError } from '../core/errors.ts';
import { countOf } from './bench.ts';
import { action, adminOf, type ClientOptions, withAdmin } from './options.ts';
import type { ConsumerReport } from './reports.ts';
import { requestJson } from './server.ts';
import { consumersText } from './tables.ts';
import { out, printJson, styled } from './terminal.ts';

interface ReplayOptions extends ClientOptions {
  readonly count: number;
}

interface SkipOptions extends ClientOptions {
  readonly partition: number;
  readonly to?: number;
}

const REPLAY_COUNT_MAX = 1_000_000_000;

export function addConsume(program: Command): void {
  const consume = program.command('consume').description('show consumers and their lag; pause, resume, replay, skip');
  withAdmin(consume.command('list', { isDefault: true }))
    .description('show consumers, partitions and lag')
    .argument('[consumer]', 'only this one')
    .action(action(list));
  for (const kind of ['pause', 'resume'] as const)
    withAdmin(consume.command(kind))
      .description(kind === 'pause' ? 'stop delivering after what is in hand, until resume' : 'go on delivering')
      .argument('<consumer>', 'name in the config')
      .action(action((consumer: string, options: ClientOptions) => command(kind, consumer, {}, options)));
  withAdmin(consume.command('replay'))
    .description('deliver dead letters again')
    .argument('<consumer>', 'name in the config')
    .option('--count <count>', 'at most so many in total', countOf(REPLAY_COUNT_MAX), 1000)
    .action(
      action((consumer: string, options: ReplayOptions) =>
        command('replay', consumer, { countMax: options.count }, options),
      ),
    );
  withAdmin(consume.command('skip'))
    .description('pass over records, which are then missed: damage, or up to an offset')
    .argument('<consumer>', 'name in the config')
    .requiredOption('--partition <partition>', "of the consumer's topic", countOf(Number.MAX_SAFE_INTEGER, 0))
    .option(
      '--to <offset>',
      'the next record to deliver; without it: the first one after the damage',
      countOf(Number.MAX_SAFE_INTEGER, 0),
    )
    .action(
      action((consumer: string, { partition, to, ...options }: SkipOptions) =>
        command('skip', consumer, { partition, ...(to === undefined ? {} : { toOffset: to }) }, options),
      ),
    );
}

async function list(consumer: string | undefined, options: ClientOptions): Promise<void> {
  const all = await requestJson<ConsumerReport[]>(adminOf(options), '/admin/v1/consumers');
  const reports = consumer === undefined ? all : all.filter(({ name }) => name === consumer);
  if (consumer !== undefined && reports.length === 0)
    throw new TandemError('TANDEM_CONSUMER_UNKNOWN', { detail: consumer });
  if (options.json) printJson(reports);
  else out(consumersText(reports));
}

async function command(
  kind: 'pause' | 'resume' | 'replay' | 'skip',
  consumer: string,
  body: { readonly [field: string]: number },
  options: ClientOptions,
): Promise<void> {
  const path = `/admin/v1/consumers/${encodeURIComponent(consumer)}/${kind}`;
  const answer = await requestJson<unknown>(adminOf(options), path, { method: 'POST', body: JSON.stringify(body) });
  if (options.json) printJson(answer);
  else out(`${styled('green', 'ok')} ${kind} ${consumer} ${JSON.stringify(answer)}`);
}
