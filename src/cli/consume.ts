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

const REPLAY_COUNT_MAX = 1_000_000_000;

export function addConsume(program: Command): void {
  const consume = program.command('consume').description('show consumers and their lag; pause, resume, replay');
  withAdmin(consume.command('list', { isDefault: true }))
    .description('show consumers, partitions and lag')
    .argument('[consumer]', 'only this one')
    .action(action(list));
  for (const kind of ['pause', 'resume'] as const)
    withAdmin(consume.command(kind))
      .description(kind === 'pause' ? 'stop delivering after what is in hand' : 'go on delivering')
      .argument('<consumer>', 'name in the config')
      .action(action((consumer: string, options: ClientOptions) => command(kind, consumer, {}, options)));
  withAdmin(consume.command('replay'))
    .description('deliver dead letters again')
    .argument('<consumer>', 'name in the config')
    .option('--count <count>', 'at most so many', countOf(REPLAY_COUNT_MAX), 1000)
    .action(
      action((consumer: string, options: ReplayOptions) =>
        command('replay', consumer, { countMax: options.count }, options),
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
  kind: 'pause' | 'resume' | 'replay',
  consumer: string,
  body: { readonly countMax?: number },
  options: ClientOptions,
): Promise<void> {
  const path = `/admin/v1/consumers/${encodeURIComponent(consumer)}/${kind}`;
  const answer = await requestJson<unknown>(adminOf(options), path, { method: 'POST', body: JSON.stringify(body) });
  if (options.json) printJson(answer);
  else out(`${styled('green', 'ok')} ${kind} ${consumer} ${JSON.stringify(answer)}`);
}
