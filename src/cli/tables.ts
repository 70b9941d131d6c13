/** `tandem status`, `topics` and `consume` in the form in which people read them. */
import type { ConsumerReport, NodeReport, TopicReport, TopicSummary } from './reports.ts';
import { bytesText, countText, durationText, styled, table } from './terminal.ts';

export function statusText(report: NodeReport, nowMs: number): string {
  const { name, role, term, isReady, reason, slots, listeners, engine, uptimeMs, pausedConsumers } = report;
  const fronts = report.fronts.map((front) => ({ ...front, slot: `front ${front.slot}` }));
  const notReady = role === 'standby' ? reason : `${styled('red', 'not ready')}: ${reason}`;
  const ready = isReady ? `${styled('green', 'ready')}: ${reason}` : notReady;
  const rows = [...slots, ...fronts].map(({ slot, pid, term: slotTerm, state, restarts, connections, sinceMs }) => [
    slot,
    pid ?? '-',
    state,
    durationText(Math.max(0, nowMs - sinceMs)),
    connections,
    restarts,
    slotTerm,
  ]);
  return [
    `${styled('bold', name)}  ${role}, ${ready}`,
    styled('dim', `term ${term}, engine ${engine ?? 'unknown'}, up ${durationText(uptimeMs)}`),
    '',
    ...nodesText(report),
    ...listeners.map(({ url }) => `  ${url}`),
    ...(listeners.length === 0 ? [] : ['']),
    ...(pausedConsumers.length === 0 ? [] : [styled('yellow', `paused consumers: ${pausedConsumers.join(', ')}`), '']),
    table(['worker', 'pid', 'state', 'for', 'connections', 'restarts', 'term'], rows),
  ].join('\n');
}

/** The nodes that share the store; nothing of a node that is alone. */
function nodesText({ name, role, term, isReady, reason, cluster }: NodeReport): string[] {
  const { mode, peers, antiFlap } = cluster;
  if (mode === 'single') return [];
  const self = [name, role, isReady ? 'yes' : '', term, reason, '(this one)'];
  const others = peers.map(({ facts }) => [
    facts.name,
    facts.role,
    facts.isReady ? 'yes' : '',
    facts.term,
    facts.reason,
    facts.adminUrl,
  ]);
  const waiting = antiFlap.delayMs === 0 ? [] : [styled('yellow', `next takeover delayed: ${antiFlap.reason}`), ''];
  return [table(['node', 'role', 'ready', 'term', 'reason', 'admin'], [self, ...others]), '', ...waiting];
}

export function topicsText(topics: readonly (TopicSummary | TopicReport)[]): string {
  if (topics.length === 0) return 'There are no topics yet; a first record creates one.';
  const rows = topics.map((topic) => [
    topic.name,
    topic.partitions,
    'state' in topic ? countText(recordsIn(topic)) : '-',
    topic.retentionMs === null ? '-' : durationText(topic.retentionMs),
    topic.retentionBytes === null ? '-' : bytesText(topic.retentionBytes),
  ]);
  return table(['topic', 'partitions', 'records', 'kept for', 'kept per partition'], rows);
}

const recordsIn = ({ state }: TopicReport): number =>
  state.reduce((sum, { firstOffset, nextOffset }) => sum + nextOffset - firstOffset, 0);

export function topicText(topic: TopicReport): string {
  const rows = topic.state.map(({ partition, epoch, firstOffset, nextOffset }) => [
    partition,
    firstOffset,
    nextOffset,
    nextOffset - firstOffset,
    epoch,
  ]);
  return `${topicsText([topic])}\n\n${table(['partition', 'first', 'next', 'records', 'epoch'], rows)}`;
}

export function consumersText(consumers: readonly ConsumerReport[]): string {
  if (consumers.length === 0) return 'There are no consumers; see consumers: in docs/config.md.';
  const summary = consumers.map(({ name, topic, to, state, lagRecords, totals }) => [
    name,
    topic,
    to,
    state,
    countText(lagRecords),
    countText(totals['handled'] ?? 0),
    countText(totals['failedAttempts'] ?? 0),
    countText(totals['deadLettered'] ?? 0),
  ]);
  const partitions = consumers.flatMap(({ name, partitions: each }) =>
    each.map(({ partition, state, committed, nextOffset, lagRecords, reason }) => [
      name,
      partition,
      state,
      committed ?? '-',
      nextOffset ?? '-',
      lagRecords ?? '-',
      reason ?? '',
    ]),
  );
  return [
    table(['consumer', 'topic', 'to', 'state', 'lag', 'handled', 'failed', 'dead'], summary),
    '',
    table(['consumer', 'partition', 'state', 'committed', 'next', 'lag', 'reason'], partitions),
  ].join('\n');
}
