/** `tandem topics [topic]`: topics, partitions and offsets. */
import type { Command } from 'commander';
import { action, type ClientOptions, serverOf, withServer } from './options.ts';
import type { TopicReport, TopicSummary } from './reports.ts';
import { requestJson, type ServerOptions } from './server.ts';
import { topicsText, topicText } from './tables.ts';
import { out, printJson } from './terminal.ts';

/** With more topics than this the list has no counts: they cost a request each. */
const COUNTED_TOPICS_MAX = 200;

export function addTopics(program: Command): void {
  withServer(program.command('topics'))
    .description('list topics, or show one with its partitions and offsets')
    .argument('[topic]', 'only this one')
    .action(action(topics));
}

async function topics(topic: string | undefined, options: ClientOptions): Promise<void> {
  const server = serverOf(options);
  if (topic !== undefined) {
    const report = await reportOf(server, topic);
    if (options.json) printJson(report);
    else out(topicText(report));
    return;
  }
  const { topics: summaries } = await requestJson<{ topics: TopicSummary[] }>(server, '/topics');
  const reports: (TopicSummary | TopicReport)[] = [];
  if (summaries.length > COUNTED_TOPICS_MAX) reports.push(...summaries);
  else for (const { name } of summaries) reports.push(await reportOf(server, name));
  if (options.json) printJson(reports);
  else out(topicsText(reports));
}

const reportOf = (server: ServerOptions, topic: string): Promise<TopicReport> =>
  requestJson<TopicReport>(server, `/topics/${encodeURIComponent(topic)}`);
