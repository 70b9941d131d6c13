/** Those of `listen` to which nobody connects: lists that are taken from. */
import { TOPIC_NAME_PATTERN } from '../core/record.ts';
import { shown } from './problems.ts';
import { isRedisListUrl, readRedisListUrl } from './redis-list-url.ts';
import { type Resolution, resolveSecret } from './resolution.ts';
import { DEFAULT_TOPIC, type ListenInput } from './schema.ts';
import type { ConfigPath } from './schema-tree.ts';
import type { SourceConfig } from './tandem-config.ts';

const TAKERS_MAX = 1024;

/** It names a source, or a variable that must: an address holds no secret. */
export function isSource(input: ListenInput): boolean {
  const url = urlOf(input);
  return isRedisListUrl(url) || url.startsWith('env:');
}

const urlOf = (input: ListenInput): string => (typeof input === 'string' ? input : input.url);

export function resolveSources(listen: readonly ListenInput[], resolution: Resolution): SourceConfig[] {
  const lists = new Map<string, number>();
  return listen.flatMap((input, index) => {
    if (!isSource(input)) return [];
    const path = ['listen', index];
    const source = resolveSource(path, input, resolution);
    if (source === undefined) return [];
    const place = JSON.stringify([source.place.endpoint.servers, source.place.endpoint.database, source.place.list]);
    const earlier = lists.get(place);
    if (earlier !== undefined)
      resolution.problem(path, { problem: `takes from the list of listen[${earlier}]`, accepted: 'a list of its own' });
    lists.set(place, index);
    return [source];
  });
}

function resolveSource(path: ConfigPath, input: ListenInput, resolution: Resolution): SourceConfig | undefined {
  const report = (problem: string, accepted: string): void => resolution.problem(path, { problem, accepted });
  const text = urlOf(input);
  const url = resolveSecret(path, text, resolution);
  if (url === '') return undefined;
  if (!isRedisListUrl(url)) {
    report(`takes its URL from ${shown(text)}, which holds none of a Redis list`, 'redis-list://…');
    return undefined;
  }
  for (const key of ['tls', 'insecure', 'trustedProxies'] as const)
    if (typeof input === 'object' && input[key] !== undefined)
      report(`has ${key}, which is for listeners that are connected to`, `leave ${key} out`);
  const read = readRedisListUrl(url, ['topic', 'from', 'takers'], report);
  if (read === undefined) return undefined;
  const { place, query } = read;
  const topic = query.get('topic') ?? DEFAULT_TOPIC;
  if (!TOPIC_NAME_PATTERN.test(topic)) report(`names a topic that is not valid: ${shown(topic)}`, 'a topic name');
  const from = query.get('from') ?? 'right';
  if (from !== 'left' && from !== 'right') report(`says from=${from}`, 'from=right or from=left');
  const takers = query.get('takers');
  const takerCount = Number(takers ?? TAKERS_MAX);
  if (!Number.isInteger(takerCount) || takerCount < 1 || takerCount > TAKERS_MAX)
    report(`says takers=${takers}`, `how many workers of a node take: 1 to ${TAKERS_MAX}`);
  return { kind: 'redis-list', place, topic, from: from === 'left' ? 'left' : 'right', takers: takerCount };
}
