/** `npm run chaos -- --engine redis|sentinel|cluster …`: drills over Redis. Resolves with false at the first breach. */
import { missing, type RedisDrill, runRedisDrill } from './redis-drill.ts';
import { REDIS_FAULT_NAMES, type RedisFaultName } from './redis-fault.ts';
import type { RedisMode } from './redis-nodes.ts';
import { SITE_KINDS, type SiteKind } from './redis-site.ts';
import { redisEpisodeLine, redisProgressLine, redisSummaryText } from './redis-summary.ts';

export interface RedisCommand {
  readonly engine: string;
  readonly mode: string;
  readonly seed: number;
  /** 0: `rounds` drills of one episode each, seeds one after the other. */
  readonly minutes: number;
  readonly rounds: number;
  readonly outageMinutes: number;
  readonly spoolMib: number | undefined;
  readonly faults: number;
  readonly nodes: number;
  readonly workers: number;
  readonly recordsPerSecond: number;
  readonly only: readonly string[] | undefined;
  readonly isJson: boolean;
}

/** Errors: RangeError with what is wrong, for people. */
export async function runRedisCommand(command: RedisCommand): Promise<boolean> {
  const { seed, minutes, isJson } = command;
  const site = checked(command.engine, SITE_KINDS, 'engine');
  const mode = checked(command.mode, ['active-active', 'active-standby'] as const, 'mode');
  const names = (command.only ?? REDIS_FAULT_NAMES).map((name) => checked(name, REDIS_FAULT_NAMES, 'fault'));
  for (const [need, why] of Object.entries(missing({ site, mode })))
    if (why !== undefined) process.stderr.write(`LEFT OUT: faults that need ${need}: ${why}\n`);
  const rounds = minutes > 0 || command.outageMinutes > 0 ? 1 : command.rounds;
  for (let round = 0; round < rounds; round++)
    if (!(await runOne({ ...command, site, mode, names, seed: seed + round }, isJson))) return false;
  return true;
}

interface Round extends RedisCommand {
  readonly site: SiteKind;
  readonly mode: RedisMode;
  readonly names: readonly RedisFaultName[];
}

async function runOne(round: Round, isJson: boolean): Promise<boolean> {
  const isTerminal = process.stderr.isTTY && !isJson;
  let folder = '';
  let stopShowing = (): void => {};
  const { minutes, faults, outageMinutes, spoolMib, ...others } = round;
  const result = await runRedisDrill({
    ...others,
    minutes,
    ...(outageMinutes > 0 ? { outageMinutes } : {}),
    ...(spoolMib === undefined ? {} : { spoolBytesMax: spoolMib * 1024 * 1024 }),
    episodes: minutes > 0 ? 0 : 1,
    ...(minutes > 0 ? {} : { faultsPerEpisode: faults }),
    quietMsMax: 3000,
    pauseMsMax: 3000,
    onStart: (drill) => {
      folder = drill.folder;
      if (isTerminal) stopShowing = showProgress(drill);
    },
    onEpisode: (episode, { startedMs }) => {
      if (isTerminal) process.stderr.write('\r\x1b[K');
      if (!isJson) process.stdout.write(`${redisEpisodeLine(episode, startedMs)}\n`);
    },
  });
  stopShowing();
  process.stdout.write(isJson ? `${JSON.stringify(result)}\n` : redisSummaryText(result, folder));
  return result.breaches.length === 0;
}

function showProgress(drill: RedisDrill): () => void {
  let before = 0;
  const timer = setInterval(() => {
    const { acked } = drill.clients;
    process.stderr.write(`\r\x1b[K${redisProgressLine(drill, acked - before)}`);
    before = acked;
  }, 1000);
  return () => {
    clearInterval(timer);
    process.stderr.write('\r\x1b[K');
  };
}

function checked<Choice extends string>(value: string, choices: readonly Choice[], what: string): Choice {
  const found = choices.find((choice) => choice === value);
  if (found === undefined) throw new RangeError(`no ${what} ${value}; there are ${choices.join(', ')}`);
  return found;
}
