/** Consumers: targets, secrets, the rules between their keys. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { shown } from './problems.ts';
import { isRedisListUrl, readRedisListUrl } from './redis-list-url.ts';
import { type Resolution, resolveSecret } from './resolution.ts';
import type { ConfigInput } from './schema.ts';
import type { ConfigPath } from './schema-tree.ts';
import type { ConsumerConfig, ConsumerTarget } from './tandem-config.ts';

type ConsumersInput = NonNullable<ConfigInput['consumers']>;
type ConsumerInput = ConsumersInput[string];

const MODULE_PATTERN = /\.[cm]?[jt]s$/;
const ACCEPTED = 'a module (./handlers.ts, .js, .mts, .mjs), a webhook (https://…) or a Redis list (redis-list://…)';

export function resolveConsumers(inputs: ConsumersInput, resolution: Resolution): ConsumerConfig[] {
  return Object.entries(inputs).map(([name, given]) => {
    const path = ['consumers', name];
    const retry = {
      attemptsMax: given.retry?.attemptsMax ?? 5,
      backoffMs: given.retry?.backoffMs ?? 100,
      backoffMsMax: given.retry?.backoffMsMax ?? 30_000,
    };
    if (retry.backoffMs > retry.backoffMsMax)
      resolution.problem([...path, 'retry', 'backoffMs'], {
        problem: `exceeds retry.backoffMsMax: ${retry.backoffMs}`,
        accepted: `at most ${retry.backoffMsMax}`,
      });
    return {
      name,
      topic: given.topic,
      target: resolveTarget(path, given, resolution),
      concurrency: given.concurrency ?? 1,
      retry,
      timeoutMs: given.timeoutMs ?? 30_000,
      start: given.start ?? 'start',
    };
  });
}

function resolveTarget(path: ConfigPath, { to, secret }: ConsumerInput, resolution: Resolution): ConsumerTarget {
  const { problem } = resolution;
  const list = to.startsWith('env:') ? resolveSecret([...path, 'to'], to, resolution) : to;
  if (isRedisListUrl(list)) {
    if (secret !== undefined)
      problem([...path, 'secret'], { problem: 'is for webhooks; a list needs none', accepted: 'leave it out' });
    return resolveList(path, list, resolution);
  }
  if (/^https?:\/\//.test(to)) {
    if (!URL.canParse(to))
      problem([...path, 'to'], { problem: `is not a valid URL: ${shown(to)}`, accepted: ACCEPTED });
    return {
      kind: 'webhook',
      url: to,
      secret: secret === undefined ? null : resolveSecret([...path, 'secret'], secret, resolution),
    };
  }
  const modulePath = resolve(resolution.folder, to);
  const scheme = /^([a-z][a-z0-9+]*):\/\//.exec(to)?.[1];
  if (scheme !== undefined)
    problem([...path, 'to'], {
      problem: `has a target that this version does not have: ${scheme}`,
      accepted: ACCEPTED,
    });
  else if (!MODULE_PATTERN.test(to))
    problem([...path, 'to'], { problem: `is neither a module nor a URL: ${shown(to)}`, accepted: ACCEPTED });
  else if (!existsSync(modulePath))
    problem([...path, 'to'], { problem: `names a module that does not exist: ${modulePath}`, accepted: ACCEPTED });
  if (secret !== undefined)
    problem([...path, 'secret'], { problem: 'is for webhooks; a module needs none', accepted: 'leave it out' });
  return { kind: 'handler', modulePath };
}

function resolveList(path: ConfigPath, url: string, resolution: Resolution): ConsumerTarget {
  const report = (problem: string, accepted: string): void =>
    resolution.problem([...path, 'to'], { problem, accepted });
  const read = readRedisListUrl(url, [], report);
  // Meaningless, as the whole config is: what is wrong was reported.
  return read === undefined ? { kind: 'handler', modulePath: '' } : { kind: 'redis-list', place: read.place };
}
