/** `tandem switchover`: makes another node active, in order, and reports what it cost. */
import type { Command } from 'commander';
import type { SwitchoverReport } from '../core/contracts/cluster.ts';
import { TandemError } from '../core/errors.ts';
import { action, adminOf, type ClientOptions, withAdmin } from './options.ts';
import { requestJson } from './server.ts';
import { countText, out, printJson, styled } from './terminal.ts';

interface SwitchoverOptions extends ClientOptions {
  readonly to?: string;
  readonly timeout?: string;
}

export function addSwitchover(program: Command): void {
  withAdmin(program.command('switchover'))
    .description('make a standby active, in order: nothing is lost, clients move by themselves')
    .option('--to <node>', 'which one (default: the one that has been ready longest)')
    .option(
      '--timeout <ms>',
      'then it is given up and the active node serves on (default: cluster.switchoverTimeoutMs)',
    )
    .action(action(switchover));
}

async function switchover(options: SwitchoverOptions): Promise<void> {
  const timeoutMs = options.timeout === undefined ? undefined : Number(options.timeout);
  if (timeoutMs !== undefined && !(Number.isSafeInteger(timeoutMs) && timeoutMs > 0))
    throw new TandemError('TANDEM_CONFIG_INVALID', { detail: '--timeout must be a whole number of milliseconds' });
  const report = await requestJson<SwitchoverReport>(adminOf(options), '/admin/v1/switchover', {
    method: 'POST',
    body: JSON.stringify({ to: options.to, timeoutMs }),
  });
  if (options.json) printJson(report);
  else out(reportText(report));
}

function reportText(report: SwitchoverReport): string {
  const { from, to, fromTerm, toTerm, pauseMs, totalMs, recordsInFlight, recordsLost, clientsMoved } = report;
  return [
    `${styled('bold', to)} is active now (term ${toTerm}), ${from} stands by (term ${fromTerm} ended)`,
    `pause ${Math.round(pauseMs)} ms of ${Math.round(totalMs)} ms in all`,
    `records in flight ${countText(recordsInFlight)}, all answered; lost ${countText(recordsLost)}`,
    `clients moved ${countText(clientsMoved)}`,
  ].join('\n');
}
