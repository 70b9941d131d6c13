/** Frames from fixed state, as text. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DemoView } from './demo-view.ts';
import { LiveScreen, type Terminal } from './live-screen.ts';
import { plain, screenLines, sparkline } from './screen.ts';
import { type Fault, summaries } from './takeovers.ts';

const FAULT = { fromTerm: 2, toNode: 'b', toTerm: 4, problem: null } as const;

const FAULTS: readonly Fault[] = [
  { ...FAULT, kind: 'kill', node: 'a', atMs: 4000, takeoverMs: 31.4, pauseMs: 30 },
  {
    ...FAULT,
    kind: 'switchover',
    node: 'b',
    toNode: 'c',
    atMs: 8100,
    fromTerm: 4,
    toTerm: 7,
    takeoverMs: 120,
    pauseMs: 45,
  },
  {
    ...FAULT,
    kind: 'switchover',
    node: 'c',
    atMs: 9000,
    takeoverMs: null,
    pauseMs: null,
    toTerm: null,
    problem: 'no time',
  },
  {
    ...FAULT,
    kind: 'hang',
    node: 'c',
    atMs: 12_000,
    fromTerm: 7,
    toTerm: null,
    toNode: null,
    takeoverMs: null,
    pauseMs: null,
  },
];

const VIEW: DemoView = {
  ...{ phase: 'running', progress: { done: 0, total: 0 }, elapsedMs: 12_640, durationMs: 60_000, seed: 42 },
  recordsPerSecond: 2000,
  nodes: [
    { name: 'a', state: 'standby', pid: 4711, term: 0, reason: 'ready to take over' },
    { name: 'b', state: 'down', pid: null, term: 0, reason: 'all its processes were killed' },
    { name: 'c', state: 'hung', pid: 4713, term: 0, reason: 'its processes are stopped: silent, not dead' },
  ],
  acked: { total: 24_012, perSecond: 812, tenths: [...Array(90).fill(0), 200, 190, 210, 0, 0, 800, 200, 0, 0] },
  delivered: { total: 72_036, perSecond: 2436, tenths: [] },
  ...{ subscribers: 3, waiting: 1211, quietMs: 640, longestPauseMs: 1085.2 },
  ...{ faults: FAULTS, summaries: summaries(FAULTS), problems: [] },
};

const FRAME = `\
 Tandem demo                                            00:12 of 01:00  seed 42

 node  role          term       pid
 a     ○ standby               4711  ready to take over
 b     ✗ down                        all its processes were killed
 c     ‖ hung                  4713  its processes are stopped: silent, not dead

 acked          812/s                                                 ▄▄▄··█▄··
 delivered    2,436/s
 pause         640 ms  longest so far 1,085 ms

 takeovers      n      median       worst   from the fault to the first ack
 kill           1       31 ms       31 ms
 hang           -
 switchover     1      120 ms      120 ms

 00:12  hang        c -> ?   term 7             640 ms and counting
 00:09  switchover  c: given up: no time
 00:08  switchover  b -> c   term 4 -> 7        120 ms   pause 45 ms
 00:04  kill        a -> b   term 2 -> 4         31 ms


 acked 24,012   delivered 72,036 to 3 subscribers   waiting 1,211
 Ctrl-C ends the faults and goes on to the proof`;

const frame = (view: DemoView, columns: number, rows: number): string[] =>
  screenLines(view, { columns, rows }).map((line) => plain(line).trimEnd());

test('80 columns and 24 rows', () => {
  assert.equal(frame(VIEW, 80, 24).join('\n'), FRAME);
});

test('never wider or higher than the terminal, and the last faults are there as long as there is room', () => {
  for (const [columns, rows] of [
    [40, 10],
    [1, 1],
    [132, 50],
    [80, 21],
  ] as const) {
    const lines = screenLines(VIEW, { columns, rows }).map(plain);
    assert.ok(lines.length <= rows);
    assert.ok(lines.every((line) => line.length <= columns));
  }
  assert.match(frame(VIEW, 80, 21).join('\n'), /hang +c -> \?/);
  assert.equal(frame(VIEW, 80, 50).length, 50);
});

test('problems and the phases are told', () => {
  const told = (change: Partial<DemoView>): string => frame({ ...VIEW, ...change }, 80, 24).join('\n');
  assert.match(told({ problems: ['node a ended by itself'] }), /^ node a ended by itself$/m);
  assert.match(told({ phase: 'starting', nodes: [], faults: [] }), /Starting an active node and its standbys/);
  assert.match(told({ phase: 'reading back', progress: { done: 20_000, total: 24_012 } }), /20,000 of 24,012/);
});

test('a pause is seen in the sparkline, a start is not one', () => {
  assert.deepEqual(sparkline([0, 0, 200, 400, 1, 0, 0, 200], 200), [
    { style: 'green', text: '  ▄█▁' },
    { style: 'red', text: '··' },
    { style: 'green', text: '▄' },
  ]);
});

test('the live screen writes what has changed, and gives the terminal back as it was', (t) => {
  let written = '';
  let resized = (): void => {};
  const terminal: Terminal = {
    ...{ columns: 20, rows: 5 },
    write: (text) => {
      written += text;
      return true;
    },
    on: (_event, listener) => {
      resized = listener;
    },
    off: () => {
      resized = () => {};
    },
  };
  let lines = ['one', 'two', 'three'];
  const screen = new LiveScreen(
    terminal,
    (style, text) => `<${style}>${text}`,
    () => lines.map((text) => [text === 'two' ? { style: 'red', text } : text]),
  );
  t.after(() => screen.close());
  const taken = (): string => {
    const text = written;
    written = '';
    return text.replaceAll('\u001b', 'ESC');
  };
  assert.equal(
    taken(),
    'ESC[?1049hESC[?25lESC[2JESC[?2026hESC[1;1HoneESC[KESC[2;1H<red>twoESC[KESC[3;1HthreeESC[KESC[?2026l',
  );
  screen.draw();
  assert.equal(taken(), '');
  lines = ['one', '2'];
  screen.draw();
  assert.equal(taken(), 'ESC[?2026hESC[2;1H2ESC[KESC[3;1HESC[KESC[?2026l');
  resized();
  assert.equal(taken(), 'ESC[2JESC[?2026hESC[1;1HoneESC[KESC[2;1H2ESC[KESC[?2026l');
  screen.close();
  assert.equal(taken(), 'ESC[?25hESC[?1049l');
  screen.draw();
  screen.close();
  assert.equal(taken(), '');
});
