/** `engine`: a kind or a URL, alone or with settings. */
import { asTandemError } from '../core/errors.ts';
import { parseRedisUrl } from '../core/redis-url.ts';
import { type Resolution, resolveSecret } from './resolution.ts';
import type { EngineInput } from './schema.ts';
import type { EngineConfig } from './tandem-config.ts';

const REDIS_URL = /^rediss?(\+sentinel|\+cluster)?:\/\//;

export function resolveEngine(input: EngineInput, resolution: Resolution): EngineConfig {
  const given = typeof input === 'string' ? { url: input } : input;
  const path = typeof input === 'string' ? ['engine'] : ['engine', 'url'];
  const url = resolveSecret(path, given.url, resolution);
  if (url === 'embedded' || url === 'memory') {
    for (const key of ['ack', 'replicas', 'replicaTimeoutMs', 'spool'] as const)
      if (given[key] !== undefined)
        resolution.problem(['engine', key], { problem: `means nothing with engine ${url}`, accepted: 'leave it out' });
    return { kind: url };
  }
  let displayUrl = '';
  if (REDIS_URL.test(url)) displayUrl = readUrl(url, (problem) => resolution.problem(path, { problem }));
  // Not the text: it may hold a password.
  else
    resolution.problem(path, {
      problem: 'is no engine',
      accepted:
        'embedded, memory, redis://HOST:PORT, rediss://…, redis+sentinel://HOST,HOST/NAME, redis+cluster://HOST,HOST',
    });
  const { spool } = given;
  return {
    kind: 'redis',
    url,
    displayUrl,
    ack: given.ack ?? 'flushed',
    replicas: given.replicas ?? 1,
    replicaTimeoutMs: given.replicaTimeoutMs ?? 1000,
    spool: {
      bytesMax: spool?.bytesMax ?? 1 << 30,
      windowMs: spool?.windowMs ?? 60_000,
      whenFull: spool?.whenFull ?? 'wait',
    },
  };
}

/** Without its secrets. */
function readUrl(url: string, report: (problem: string) => void): string {
  try {
    return parseRedisUrl(url).displayUrl;
  } catch (error) {
    report(asTandemError(error).message);
    return '';
  }
}

export const isMemoryEngine = (input: EngineInput | undefined): boolean =>
  (typeof input === 'object' ? input.url : input) === 'memory';
