/** `tandem topics`: topics, partitions and offsets. */
import type { Command } from 'commander';
import { action, type ClientOptions, serverOf, withServer } from './options.ts';
import type { TopicReport } from './reports.ts';
import { requestJson } from './server.ts';
import { topicsText } from './tables.ts';
import { out, printJson } from './terminal.ts';

export function addTopics(program: Command): void {
  withServer(program.command('topics')).description('list topics, partitions and offsets').action(action(topics));
}

async function topics(options: ClientOptions): Promise<void> {
  const reports = await requestJson<TopicReport[]>(serverOf(options), '/topics');
  if (options.json) printJson(reports);
  else out(topicsText(reports));
}
