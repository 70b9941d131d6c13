/** Which server the tests run against. */
import { execFileSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** By hand or in CI: `TANDEM_TEST_REDIS=valkey-server`. */
export const SERVER_PROGRAM = process.env['TANDEM_TEST_REDIS'] ?? 'redis-server';

function isInstalled(program: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** For `skip` of a test: false, or why it cannot run. In CI a test that is skipped fails the run. */
export const missingRedis = (program: string = SERVER_PROGRAM): string | false =>
  isInstalled(program) ? false : `no ${program} in PATH: install the package redis-server (or valkey-server)`;

/** Since Redis 7.2 the nodes of a cluster write down to which shard each belongs, and rely on it; earlier ones do not understand that. */
export function writesShardIds(): boolean {
  const [, major, minor] =
    /v=(\d+)\.(\d+)/.exec(execFileSync(SERVER_PROGRAM, ['--version'], { encoding: 'utf8' })) ?? [];
  return Number(major) > 7 || (Number(major) === 7 && Number(minor) >= 2);
}
