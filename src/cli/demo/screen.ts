/** What the terminal shows of a demo, as lines of text: pure, from a view and a size. Made for 80 columns and 24 rows; smaller is cut, larger shows more. */
import { countText } from '../terminal.ts';
import type { DemoNodeView, DemoView, FlowView } from './demo-view.ts';
import { FAULTS, type Fault, type FaultKind } from './takeovers.ts';

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';
export type Span = string | { readonly style: Style; readonly text: string };
export type Line = readonly Span[];
export type Paint = (style: Style, text: string) => string;

export interface ScreenSize {
  readonly columns: number;
  readonly rows: number;
}

/** At most `size.rows` lines, each at most `size.columns` wide; all rows are used, so that nothing moves when faults are added. */
export function screenLines(view: DemoView, size: ScreenSize): Line[] {
  const { columns, rows } = size;
  const head: Line[] = [
    ...[titleLine(view, columns), []],
    ...[...nodeLines(view.nodes), []],
    ...[...flowLines(view, columns), []],
    ...[...summaryLines(view), []],
  ];
  const foot: Line[] = [[], ...problemLines(view), totalsLine(view), phaseLine(view)];
  const room = Math.max(0, rows - head.length - foot.length);
  const faults = view.faults.slice(-room).reverse().slice(0, room);
  const space: Line[] = Array.from({ length: room - faults.length }, () => []);
  const lines = [...head, ...faults.map((fault) => faultLine(fault, view)), ...space, ...foot];
  return lines.slice(0, rows).map((line) => clipped(line, columns));
}

// ---------------------------------------------------------------- parts

function titleLine({ elapsedMs, durationMs, seed }: DemoView, columns: number): Line {
  const title = ' Tandem demo';
  const time = `${clock(elapsedMs)} of ${clock(durationMs)}  seed ${seed}`;
  return [
    styled('bold', title),
    ' '.repeat(Math.max(2, columns - title.length - time.length - 1)),
    styled('dim', time),
  ];
}

const MARKS: { readonly [state in DemoNodeView['state']]: { mark: string; style: Style } } = {
  active: { mark: '●', style: 'green' },
  standby: { mark: '○', style: 'cyan' },
  starting: { mark: '◌', style: 'dim' },
  hung: { mark: '‖', style: 'yellow' },
  down: { mark: '✗', style: 'red' },
};

function said({ state, reason }: DemoNodeView): string {
  if (state === 'active' && reason === 'ok') return 'serves';
  return state === 'starting' ? '' : reason;
}

function nodeLines(nodes: readonly DemoNodeView[]): Line[] {
  const head: Line = [
    styled('dim', ` ${'node'.padEnd(6)}${'role'.padEnd(13)}${'term'.padStart(5)}  ${'pid'.padStart(8)}`),
  ];
  return [head, ...nodes.map(nodeLine)];
}

function nodeLine(node: DemoNodeView): Line {
  const { name, state, term, pid } = node;
  const { mark, style } = MARKS[state];
  const role = styled(style, `${mark} ${state}`.padEnd(13));
  return [
    ` ${name.padEnd(6)}`,
    role,
    (term === 0 ? '' : String(term)).padStart(5),
    `  ${String(pid ?? '').padStart(8)}`,
    '  ',
    styled('dim', said(node)),
  ];
}

const LABEL_WIDTH = 11;
const RATE_WIDTH = 9;

function flowLines(view: DemoView, columns: number): Line[] {
  const { recordsPerSecond, subscribers, acked, delivered } = view;
  const width = Math.max(0, columns - LABEL_WIDTH - RATE_WIDTH - 4);
  const planned = recordsPerSecond / 10;
  return [
    flowLine('acked', acked, planned, width),
    flowLine('delivered', delivered, planned * subscribers, width),
    pauseLine(view),
  ];
}

const flowLine = (label: string, flow: FlowView, planned: number, width: number): Line => [
  ` ${label.padEnd(LABEL_WIDTH)}`,
  styled('bold', `${countText(flow.perSecond)}/s`.padStart(RATE_WIDTH)),
  '  ',
  ...sparkline(flow.tenths.slice(-width), planned),
];

/** Shorter ones are between two acks as they come. */
const PAUSE_SHOWN_MS = 50;

function pauseLine({ quietMs, longestPauseMs, phase }: DemoView): Line {
  const isPause = phase === 'running' && quietMs >= PAUSE_SHOWN_MS;
  const now = isPause
    ? styled('red', msText(quietMs).padStart(RATE_WIDTH))
    : styled('dim', 'none'.padStart(RATE_WIDTH));
  const longest = longestPauseMs === 0 ? '' : `  longest so far ${msText(longestPauseMs)}`;
  return [` ${'pause'.padEnd(LABEL_WIDTH)}`, now, styled('dim', longest)];
}

const NAME_WIDTH = 12;
const COUNT_WIDTH = 4;
const TIME_WIDTH = 12;

function summaryLines({ summaries }: DemoView): Line[] {
  const titles = ` ${'takeovers'.padEnd(NAME_WIDTH)}${'n'.padStart(COUNT_WIDTH)}${['median', 'worst'].map(timeCell).join('')}`;
  return [
    [styled('dim', `${titles}   from the fault to the first ack`)],
    ...FAULTS.map((kind): Line => {
      const summary = summaries.get(kind);
      const name = styled(FAULT_STYLES[kind], kind.padEnd(NAME_WIDTH));
      if (summary === undefined) return [' ', name, styled('dim', '-'.padStart(COUNT_WIDTH))];
      const { count, takeoverMs } = summary;
      const times = [takeoverMs.median, takeoverMs.worst].map(msText);
      return [' ', name, String(count).padStart(COUNT_WIDTH), times.map(timeCell).join('')];
    }),
  ];
}

const timeCell = (text: string): string => text.padStart(TIME_WIDTH);

const FAULT_STYLES: { readonly [kind in FaultKind]: Style } = { kill: 'red', hang: 'yellow', switchover: 'cyan' };
const TERMS_WIDTH = 22;

function faultLine(fault: Fault, view: DemoView): Line {
  const { kind, node, atMs, toNode, fromTerm, toTerm, takeoverMs, pauseMs, problem } = fault;
  const head: Line = [styled('dim', ` ${clock(atMs)}  `), styled(FAULT_STYLES[kind], kind.padEnd(NAME_WIDTH))];
  if (problem !== null) return [...head, `${node}: given up: ${problem}`];
  const change = `${node} -> ${toNode ?? '?'}   term ${fromTerm}${toTerm === null ? '' : ` -> ${toTerm}`}`;
  const isRunning = takeoverMs === null;
  const time = styled('bold', timeCell(msText(takeoverMs ?? view.elapsedMs - atMs)));
  const note = isRunning ? ' and counting' : kind === 'switchover' ? `   pause ${msText(pauseMs ?? 0)}` : '';
  return [...head, change.padEnd(TERMS_WIDTH), time, styled('dim', note)];
}

function totalsLine({ acked, delivered, subscribers, waiting }: DemoView): Line {
  const parts = [
    `acked ${countText(acked.total)}`,
    `delivered ${countText(delivered.total)} to ${subscribers} subscribers`,
    `waiting ${countText(waiting)}`,
  ];
  return [styled('dim', ` ${parts.join('   ')}`)];
}

const PROBLEMS_SHOWN = 3;

const problemLines = ({ problems }: DemoView): Line[] =>
  problems.slice(-PROBLEMS_SHOWN).map((problem) => [styled('red', ` ${problem}`)]);

function phaseLine({ phase, progress: { done, total } }: DemoView): Line {
  if (phase === 'starting') return [' Starting an active node and its standbys ...'];
  if (phase === 'draining') return [' The faults are over; the last acks ...'];
  if (phase === 'running') return [styled('dim', ' Ctrl-C ends the faults and goes on to the proof')];
  return [` Reading everything back${total === 0 ? '' : `: ${countText(done)} of ${countText(total)}`} ...`];
}

// ---------------------------------------------------------------- text

const LEVELS = '▁▂▃▄▅▆▇█';
/** The planned rate is at half height. */
const PLANNED_LEVEL = 4;

/** One sign per bucket; a bucket without anything, after there was something, is a red dot. */
export function sparkline(buckets: readonly number[], planned: number): Span[] {
  const first = buckets.findIndex((count) => count > 0);
  const spans: Span[] = [];
  let text = '';
  let isQuiet = false;
  const flush = (): void => {
    if (text !== '') spans.push(isQuiet ? styled('red', text) : styled('green', text));
    text = '';
  };
  for (const [i, count] of buckets.entries()) {
    const isQuietNow = count === 0 && first >= 0 && i > first;
    if (isQuietNow !== isQuiet) flush();
    isQuiet = isQuietNow;
    const level = Math.min(LEVELS.length, Math.max(1, Math.round((count / planned) * PLANNED_LEVEL)));
    text += isQuietNow ? '·' : count === 0 ? ' ' : LEVELS[level - 1];
  }
  flush();
  return spans;
}

/** 05:07; hours run on in the minutes. */
export function clock(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  return `${String(Math.floor(seconds / 60)).padStart(2, '0')}:${String(seconds % 60).padStart(2, '0')}`;
}

/** Whole milliseconds, which is what these times are good for. */
export const msText = (ms: number): string => `${countText(ms)} ms`;

const styled = (style: Style, text: string): Span => ({ style, text });

export const plain = (line: Line): string => line.map((span) => (typeof span === 'string' ? span : span.text)).join('');

function clipped(line: Line, columns: number): Line {
  const spans: Span[] = [];
  let left = columns;
  for (const span of line) {
    const text = (typeof span === 'string' ? span : span.text).slice(0, left);
    if (text === '') continue;
    spans.push(typeof span === 'string' ? text : { ...span, text });
    left -= text.length;
  }
  return spans;
}
