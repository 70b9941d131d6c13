/** What a drill tells people: a line per episode, a line that counts on a terminal, a summary at the end. */
import type { Drill } from './drill.ts';
import type { EpisodeReport } from './episode.ts';
import { faultsText } from './service-checker.ts';
import type { DrillResult, Times } from './verdict.ts';

const number = (count: number): string => count.toLocaleString('en-US');
const clock = (ms: number): string => {
  const seconds = Math.floor(ms / 1000);
  return `${String(Math.floor(seconds / 60)).padStart(2, '0')}:${String(seconds % 60).padStart(2, '0')}`;
};

/** `00:12  #3 kill-active (b): first ack under the next term after 41 ms, back after 0.25 s, all ready after 0.61 s`. */
export function episodeLine(episode: EpisodeReport, drillStartedMs: number): string {
  const { overMs, back, rejoined, takeoverMs, startMs } = episode;
  const after = (at: number | readonly string[]): string =>
    typeof at === 'number' ? `after ${((at - overMs) / 1000).toFixed(2)} s` : `NOT: ${at.join(', ')}`;
  const takeover = takeoverMs === undefined ? '' : `, next term serves after ${Math.round(takeoverMs)} ms`;
  return `${clock(startMs - drillStartedMs)}  #${episode.number} ${faultsText(episode)}${takeover}, back ${after(back)}, all ready ${after(rejoined)}`;
}

/** For a terminal that shows it again and again. */
export function progressLine(drill: Drill, ackedPerSecond: number): string {
  const { clients, roles, startedMs, episodes } = drill;
  const { acked, delivered, handled } = clients;
  return [
    clock(performance.now() - startedMs),
    `active ${roles.active?.name ?? '-'} term ${roles.term}`,
    `acked ${number(acked)} (${number(Math.round(ackedPerSecond))}/s)`,
    `delivered ${number(delivered)}`,
    `handled ${number(handled.update().deliveries)}`,
    `episodes ${episodes.length}`,
  ].join(' · ');
}

const BREACHES_SHOWN = 20;

export function summaryText(result: DrillResult, folder: string): string {
  const { breaches, takeovers, faults } = result;
  const times = ({ count, p50, p99, max }: Times): string =>
    count === 0 ? 'none' : `${count}: p50 ${p50} ms, p99 ${p99} ms, max ${max} ms`;
  const rows: readonly (readonly [string, string])[] = [
    ['seed', String(result.seed)],
    ['minutes', result.minutes.toFixed(1)],
    ['episodes', String(result.episodes)],
    [
      'faults',
      Object.entries(faults)
        .map(([name, count]) => `${name} ${count}`)
        .join(', '),
    ],
    ['dead active to first ack', times(takeovers.death)],
    ['hung active to first ack', times(takeovers.hang)],
    ['switchover, pause', times(takeovers.switchover)],
    ['terms', String(result.terms)],
    ['acked', number(result.acked)],
    ['stored', number(result.stored)],
    ['delivered', number(result.delivered)],
    ['handled', number(result.handled)],
    ['lost', number(result.lost)],
    ['duplicated', number(result.duplicated)],
    ['double active', number(result.doubleActive)],
    ...(result.stalls > 0 ? [['drill stood still', `${result.stalls} times`] as const] : []),
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  const shown = breaches.slice(0, BREACHES_SHOWN).map((breach) => `  ${breach}`);
  const more = breaches.length > BREACHES_SHOWN ? [`  and ${breaches.length - BREACHES_SHOWN} more`] : [];
  const end =
    breaches.length === 0 ? ['no breach'] : [`${breaches.length} BREACHES`, ...shown, ...more, `kept: ${folder}`];
  return ['', ...rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`), ...end, ''].join('\n');
}
