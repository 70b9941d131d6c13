/** `tandem doctor`: looks at what usually goes wrong, and says what to do about it. Changes nothing. */
import type { Command } from 'commander';
import type { ConfigProblem } from '../config/problems.ts';
import type { TandemConfig } from '../config/tandem-config.ts';
import { asTandemError } from '../core/errors.ts';
import { checkStoreServers } from '../topology/verify.ts';
import { type Check, checkData } from './doctor-data.ts';
import { checkFileDescriptors, checkNode, checkPorts } from './doctor-host.ts';
import { EXIT } from './exit-codes.ts';
import { action, type OutputOptions, withJson } from './options.ts';
import { out, printJson, styled } from './terminal.ts';

interface DoctorOptions extends OutputOptions {
  readonly config?: string;
  readonly data?: string;
}

export function addDoctor(program: Command): void {
  withJson(program.command('doctor'))
    .description('check config, ports, disk, limits, every stored batch, and the servers of the engine')
    .option('--config <file>', 'config file')
    .option('--data <folder>', 'data folder')
    .action(action(doctor));
}

async function doctor(options: DoctorOptions): Promise<number> {
  const checks: Check[] = [];
  const tell = (check: Check): void => {
    checks.push(check);
    if (options.json !== true) printCheck(check);
  };
  tell(checkNode());
  const config = await checkConfig(options, tell);
  if (config !== undefined) {
    for (const check of await checkPorts(config)) tell(check);
    tell(checkFileDescriptors(config));
    for await (const check of checkData(config)) tell(check);
    for await (const check of checkStoreServers(config)) tell(check);
  }
  if (options.json) printJson({ checks });
  return checks.some(({ result }) => result === 'failed') ? EXIT.failed : EXIT.ok;
}

async function checkConfig(options: DoctorOptions, tell: (check: Check) => void): Promise<TandemConfig | undefined> {
  const { loadConfig } = await import('../config/load.ts');
  const { describeProblem } = await import('../config/problems.ts');
  try {
    const config = loadConfig({ configPath: options.config, flags: { data: options.data } });
    tell({ name: 'config', result: 'ok', finding: config.configPath ?? 'defaults (no config file)' });
    return config;
  } catch (thrown) {
    const error = asTandemError(thrown);
    const problems = (error.data?.['problems'] ?? []) as ConfigProblem[];
    tell({
      name: 'config',
      result: 'failed',
      finding: problems.length === 0 ? error.message : problems.map(describeProblem).join('\n'),
      advice: error.hint,
    });
    return undefined;
  }
}

const MARKS = { ok: ['green', 'ok'], warning: ['yellow', 'warn'], failed: ['red', 'FAIL'] } as const;

/** The widest name. */
const NAME_WIDTH = 'redis min-replicas'.length;

function printCheck({ name, server, result, finding, advice }: Check): void {
  const [colour, mark] = MARKS[result];
  const indent = ' '.repeat(6 + NAME_WIDTH + 1);
  const text = server === undefined ? finding : `${server}: ${finding}`;
  out(`${styled(colour, mark.padEnd(5))} ${name.padEnd(NAME_WIDTH)} ${text.replaceAll('\n', `\n${indent}`)}`);
  if (advice !== undefined && result !== 'ok') out(styled('dim', `${indent}${advice}`));
}
