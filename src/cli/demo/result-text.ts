/** The proof as people read it. */
import { countText } from '../terminal.ts';
import type { DemoResult } from './demo-run.ts';
import { clock, msText, type Paint } from './screen.ts';
import { FAULTS } from './takeovers.ts';

const NAME_WIDTH = 15;
const COUNT_WIDTH = 12;
const CELL_WIDTH = 11;
const BREACHES_SHOWN = 12;

export function resultText(result: DemoResult, paint: Paint): string {
  const { elapsedMs, nodes, faults, seed, unanswered, breaches, notices, folder, isProven } = result;
  const lines = [
    `${paint('bold', 'Tandem demo')}  ${nodes} nodes, ${faults.length} ${faults.length === 1 ? 'fault' : 'faults'} in ${clock(elapsedMs)}, seed ${seed}`,
    '',
    ...countLines(result, paint),
    ...(unanswered === 0
      ? []
      : ['', `  ${countText(unanswered)} records had no answer when it ended; they may be stored.`]),
    '',
    ...takeoverLines(result, paint),
    '',
    ...notices.map((notice) => paint('yellow', `  ${notice}`)),
    ...(notices.length === 0 ? [] : ['']),
    ...breaches.slice(0, BREACHES_SHOWN).map((breach) => paint('red', `  ${breach}`)),
    ...(breaches.length > BREACHES_SHOWN ? [`  and ${breaches.length - BREACHES_SHOWN} more: --json prints all`] : []),
    ...(breaches.length === 0 ? [] : ['']),
    isProven ? paint('green', '  Acked means kept: proven.') : paint('red', '  Not proven.'),
    ...(folder === null ? [] : [`  Data, configs and logs: ${folder}`]),
  ];
  return lines.join('\n');
}

function countLines(result: DemoResult, paint: Paint): string[] {
  const { acked, stored, delivered, lost, duplicated, outOfOrder, foreign, phantom, doubleActive, terms } = result;
  const line = (name: string, count: number, note = ''): string =>
    `  ${name.padEnd(NAME_WIDTH)}${countText(count).padStart(COUNT_WIDTH)}${note === '' ? '' : paint('dim', `   ${note}`)}`;
  const fault = (name: string, count: number, note: string): string =>
    count === 0 ? line(name, count, note) : paint('red', line(name, count)) + paint('dim', `   ${note}`);
  const rising = doubleActive === 0 ? ', each above the one before' : '';
  return [
    line('acked', acked, 'records that a producer was told are stored'),
    line('stored', stored, 'read back after the last fault'),
    ...delivered.map(({ subscriber, records }) =>
      line(subscriber, records, 'delivered, from the start on, over all faults'),
    ),
    '',
    fault('lost', lost, 'acked and not stored'),
    fault('duplicated', duplicated, 'stored twice'),
    fault('out of order', outOfOrder, 'stored after a later one of the same producer'),
    ...(foreign === 0 ? [] : [fault('foreign', foreign, 'stored and never sent')]),
    ...(phantom === 0 ? [] : [fault('phantom', phantom, 'delivered and not stored')]),
    fault('missed', sum(delivered.map(({ missed }) => missed)), 'stored and not delivered to a subscriber'),
    fault(
      'repeated',
      sum(delivered.map((each) => each.duplicated + each.outOfOrder)),
      'delivered twice, or out of order',
    ),
    fault('double-active', doubleActive, `${terms.count} terms, from ${terms.first} to ${terms.last}${rising}`),
  ];
}

const sum = (counts: readonly number[]): number => counts.reduce((total, each) => total + each, 0);

function takeoverLines({ takeovers, faults }: DemoResult, paint: Paint): string[] {
  const cells = (texts: readonly string[]): string => texts.map((text) => text.padStart(CELL_WIDTH)).join('');
  const head = `  ${'takeovers'.padEnd(NAME_WIDTH)}${'n'.padStart(4)}${'first ack after'.padStart(2 * CELL_WIDTH)}${'nothing acked for'.padStart(2 * CELL_WIDTH)}`;
  const under = `  ${' '.repeat(NAME_WIDTH + 4)}${cells(['median', 'worst', 'median', 'worst'])}`;
  const rows = FAULTS.flatMap((kind) => {
    const summary = takeovers[kind];
    if (summary === undefined) return [];
    const { count, takeoverMs, pauseMs } = summary;
    const times = [takeoverMs.median, takeoverMs.worst, pauseMs.median, pauseMs.worst].map(msText);
    return [`  ${kind.padEnd(NAME_WIDTH)}${String(count).padStart(4)}${cells(times)}`];
  });
  const givenUp = faults.filter(({ problem }) => problem !== null);
  return [
    paint('dim', head),
    paint('dim', under),
    ...rows,
    paint('dim', '  without the protection against flapping (cluster.takeoversMax, minTenureMs)'),
    ...givenUp.map(({ kind, node, problem }) => `  ${kind} of ${node} was given up: ${problem}`),
  ];
}
