/**
 * `GET /topics` -> `{"topics":[{name, partitions, retentionMs, retentionBytes}]}`: those that the token has any right on.
 * `GET /topics/:topic` -> the same for one, with `state`: per partition `{partition, epoch, firstOffset, nextOffset}`.
 */
import { TandemError } from '../../core/errors.ts';
import { maySee } from './access.ts';
import { answerJson } from './answers.ts';
import type { HttpExchange } from './http-exchange.ts';

export async function listTopics(exchange: HttpExchange): Promise<void> {
  const { hub, identity } = exchange;
  const topics = (await hub.topics.list()).filter((topic) => maySee(identity, topic.name));
  answerJson(exchange, 200, JSON.stringify({ topics }));
}

export async function showTopic(exchange: HttpExchange): Promise<void> {
  const { hub, identity, topic: name } = exchange;
  if (!maySee(identity, name)) throw new TandemError('TANDEM_AUTH_FORBIDDEN', { detail: 'any right on the topic' });
  const topic = await hub.topics.find(name);
  if (topic === undefined)
    throw new TandemError('TANDEM_TOPIC_UNKNOWN', { detail: JSON.stringify(name.slice(0, 140)) });
  const partitions = Array.from({ length: topic.partitions }, (_, partition) => partition);
  const state = await Promise.all(
    partitions.map(async (partition) => ({ partition, ...(await hub.store.state({ topic: name, partition })) })),
  );
  answerJson(exchange, 200, JSON.stringify({ ...topic, state }));
}
