/**
 * A member of the Redis engine is a process with connections of its own: this process, or where a case kills it, a child. The servers
 * are started once for all cases; each case has a prefix of its own.
 */
import { after, before, test } from 'node:test';
import type { Engine } from '../../core/contracts/engine.ts';
import { systemRandom } from '../../core/ports/random.ts';
import { missingRedis } from '../../core/testing/redis-servers/installed.ts';
import { openRedisEngine, type RedisEngineOptions } from '../redis/redis-engine.ts';
import type { EngineHarness, OpenHarness } from './harness.ts';
import { openRemoteEngine, type RemoteEngine } from './remote-engine.ts';
import { runConformance } from './run-conformance.ts';

const CHILD = new URL('./redis-child.ts', import.meta.url);

type RedisForm = 'standalone' | 'sentinel' | 'cluster';

export interface StartedServers {
  readonly url: string;
  stop(): Promise<void>;
}

/** The suite on servers that are started for it. */
export function runRedisConformance(form: RedisForm, start: () => Promise<StartedServers>): void {
  const missing = missingRedis();
  if (missing !== false) {
    test(`conformance of redis-${form}`, { skip: missing });
    return;
  }
  let servers: StartedServers | undefined;
  before(async () => {
    servers = await start();
  });
  after(() => servers?.stop());
  runConformance(
    `redis-${form}`,
    redisHarness(form, () => servers?.url ?? ''),
  );
}

/** `urlOf` is asked when the first case begins: the servers may be started then. */
function redisHarness(form: RedisForm, urlOf: () => string): OpenHarness {
  return async ({ members, mayDie }) => {
    const url = new Prefixed(urlOf());
    const engines = new Map<number, Engine>();
    const remotes = new Map<number, RemoteEngine>();
    const open = async (member: number): Promise<Engine> => {
      const options: RedisEngineOptions = {
        url: url.text,
        // Fewer than usual: each costs each member of each case an adoption.
        ...(form === 'cluster' ? { shards: 4 } : {}),
        ...{ slot: member, slots: members, memberName: `member-${member}`, sessionMs: 1000 },
      };
      if (mayDie) {
        const remote = await openRemoteEngine(CHILD, [JSON.stringify(options)]);
        remotes.set(member, remote);
        return remote;
      }
      const engine = await openRedisEngine(options);
      engines.set(member, engine);
      return engine;
    };
    const harness: EngineHarness = {
      open,
      async reopen(member) {
        await engines.get(member)?.close();
        return open(member);
      },
      async kill(member) {
        await remotes.get(member)?.kill();
      },
      async suspend(member) {
        remotes.get(member)?.suspend();
      },
      async resume(member) {
        remotes.get(member)?.resume();
      },
      async dispose() {
        for (const engine of engines.values()) await engine.close();
        for (const remote of remotes.values()) await remote.kill();
      },
    };
    return harness;
  };
}

class Prefixed {
  readonly text: string;

  constructor(url: string) {
    this.text = `${url}${url.includes('?') ? '&' : '?'}prefix=case-${systemRandom.id(6)}`;
  }
}
