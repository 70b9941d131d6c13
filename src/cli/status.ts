/** `tandem status`: is the node well, what listens, how are its workers. */
import type { Command } from 'commander';
import { EXIT } from './exit-codes.ts';
import { action, adminOf, type ClientOptions, withAdmin } from './options.ts';
import type { NodeReport } from './reports.ts';
import { requestJson } from './server.ts';
import { statusText } from './tables.ts';
import { out, printJson } from './terminal.ts';

export function addStatus(program: Command): void {
  withAdmin(program.command('status'))
    .description("show the node's health, listeners and workers")
    .action(action(status));
}

async function status(options: ClientOptions): Promise<number> {
  const report = await requestJson<NodeReport>(adminOf(options), '/admin/v1/status');
  if (options.json) printJson(report);
  else out(statusText(report, Date.now()));
  return report.isReady || report.canTakeOver ? EXIT.ok : EXIT.failed;
}
