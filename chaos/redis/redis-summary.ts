/** What a drill over Redis tells people. */
import type { RedisDrill } from './redis-drill.ts';
import type { RedisEpisode } from './redis-episode.ts';
import { faultsText, type RedisDrillResult } from './redis-verdict.ts';

const number = (count: number): string => count.toLocaleString('en-US');
const clock = (ms: number): string => {
  const seconds = Math.floor(ms / 1000);
  return `${String(Math.floor(seconds / 60)).padStart(2, '0')}:${String(seconds % 60).padStart(2, '0')}`;
};

/** `00:12  #3 kill-master (r0 for 900 ms), longest pause 12 ms, back after 0.25 s, all ready after 0.61 s`. */
export function redisEpisodeLine(episode: RedisEpisode, drillStartedMs: number): string {
  const { overMs, back, rejoined, longestPauses, startMs } = episode;
  const after = (at: number | readonly string[]): string =>
    typeof at === 'number' ? `after ${((at - overMs) / 1000).toFixed(2)} s` : `NOT: ${at.join(', ')}`;
  const pauseMs = Math.round(Math.max(0, ...longestPauses.map((one) => one.pauseMs)));
  return `${clock(startMs - drillStartedMs)}  #${episode.number} ${faultsText(episode)}, longest pause ${pauseMs} ms, back ${after(back)}, all ready ${after(rejoined)}`;
}

/** For a terminal that shows it again and again. */
export function redisProgressLine({ clients, watch, startedMs, episodes }: RedisDrill, ackedPerSecond: number): string {
  return [
    clock(performance.now() - startedMs),
    `acked ${number(clients.acked)} (${number(Math.round(ackedPerSecond))}/s)`,
    `delivered ${number(clients.delivered)}`,
    `handled ${number(clients.handled.update().deliveries)}`,
    `spool at most ${number(watch.spoolRecordsMax)}`,
    `episodes ${episodes.length}`,
  ].join(' · ');
}

const BREACHES_SHOWN = 20;

export function redisSummaryText(result: RedisDrillResult, folder: string): string {
  const { breaches, ackPausesMs } = result;
  const listText = (counts: { readonly [name: string]: number }): string =>
    Object.entries(counts)
      .map(([name, count]) => `${name} ${count}`)
      .join(', ');
  const { outage } = result;
  const rows: readonly (readonly [string, string])[] = [
    ['seed', String(result.seed)],
    ['minutes', result.minutes.toFixed(1)],
    ['episodes', String(result.episodes)],
    ['faults', listText(result.faults)],
    ['acked', number(result.acked)],
    ['stored', number(result.stored)],
    ['delivered', number(result.delivered)],
    ['told of gaps', number(result.gaps)],
    ['handled', number(result.handled)],
    ['lost', number(result.lost)],
    ['duplicated', number(result.duplicated)],
    ['sent again', number(result.sentAgain)],
    ['nobody served', result.longestAckPauseMs === 0 ? 'never for 1 s' : `for ${result.longestAckPauseMs} ms at most`],
    [
      'pause of a client',
      `Redis faults: p50 ${ackPausesMs.p50} ms, p99 ${ackPausesMs.p99} ms, max ${ackPausesMs.max} ms`,
    ],
    ['largest process', `${result.residentMiB} MiB, ${result.largestProcess}`],
    ['largest spool', `${result.spoolMiB} MiB`],
    ...(outage === undefined
      ? []
      : ([
          [
            'without Redis',
            `${outage.minutes} min; at most ${number(outage.spooledRecords)} records in the spools of a node`,
          ],
          ['drained after', `${outage.drainSeconds.toFixed(1)} s`],
          ['memory meanwhile', `${outage.middleMiB} MiB in its middle, at most ${outage.endMiB} MiB from there on`],
          ['disk', `${outage.diskMiB} MiB at most, ${outage.diskAfterMiB} MiB afterwards`],
        ] as const)),
    ['logged', listText(result.trouble)],
    ...(result.stalls > 0 ? [['drill or disk stood still', `${result.stalls} times`] as const] : []),
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  const shown = breaches.slice(0, BREACHES_SHOWN).map((breach) => `  ${breach}`);
  const more = breaches.length > BREACHES_SHOWN ? [`  and ${breaches.length - BREACHES_SHOWN} more`] : [];
  const end =
    breaches.length === 0 ? ['no breach'] : [`${breaches.length} BREACHES`, ...shown, ...more, `kept: ${folder}`];
  return ['', ...rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`), ...end, ''].join('\n');
}
