/** For tests: all checks of a URL, and assertions on them. */
import assert from 'node:assert/strict';
import type { ServerProcess } from '../../../core/testing/redis-servers/server-process.ts';
import { checkServers } from './check-servers.ts';
import type { CheckedSetup, ServerCheck } from './server-check.ts';

const SETUP: CheckedSetup = {
  ack: 'flushed',
  windowMs: 60_000,
  replicas: 1,
  lease: { ttlMs: 4000, renewMs: 600, marginMs: 600 },
};

export const checksOf = (url: string, setup: Partial<CheckedSetup> = {}): Promise<ServerCheck[]> =>
  Array.fromAsync(checkServers(url, { ...SETUP, ...setup }));

/** The one check of this name (of this server). */
export function named(checks: readonly ServerCheck[], name: string, server?: string): ServerCheck {
  const found = checks.filter((check) => check.name === name && (server === undefined || check.server === server));
  assert.equal(found.length, 1, `${name}: ${JSON.stringify(checks, undefined, 1)}`);
  return found[0] as ServerCheck;
}

/** What is bad says what to do; what is good does not. */
export function assertCheck(check: ServerCheck, result: ServerCheck['result'], finding: RegExp): void {
  assert.equal(check.result, result, JSON.stringify(check));
  assert.match(check.finding, finding);
  assert.equal(check.advice !== undefined, result !== 'ok', JSON.stringify(check));
}

/** CONFIG SET, one by one, of `name value, name value`. */
export async function set(server: ServerProcess, settings: string): Promise<void> {
  for (const setting of settings.split(', ')) {
    const [name = '', ...value] = setting.split(' ');
    await server.call('CONFIG', 'SET', name, value.join(' '));
  }
}
