/** Every breach of "back within its bound, and stays" is found. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EpisodeReport } from './episode.ts';
import type { NodeLife } from './node-under-test.ts';
import { checkService, type ServiceEvidence } from './service-checker.ts';

const KILL: EpisodeReport = {
  number: 1,
  faults: [{ name: 'kill-active', text: 'a' }],
  startMs: 1000,
  overMs: 1500,
  boundMs: 4000,
  back: 1600,
  rejoined: 2000,
  takeoverMs: 50,
  longestPauseMs: 60,
};
const LIFE: NodeLife = {
  node: 'a',
  keeper: { pid: 7, startTime: '1' },
  processes: new Map(),
  startedMs: 0,
  endedMs: 1000,
  wasHarmed: true,
  exitCode: null,
};
const GOOD: ServiceEvidence = {
  episodes: [KILL, { ...KILL, number: 2, startMs: 5000, overMs: 5500, back: 5600, rejoined: 6000 }],
  endMs: 9000,
  activations: [1, 1050, 5050].map((askedMs, i) => ({ holder: `n/${i}`, term: i, askedMs, answeredMs: askedMs })),
  lives: [LIFE, { ...LIFE, endedMs: 5000 }],
  outages: [
    { fromMs: 1010, toMs: 2100 },
    { fromMs: 4500, toMs: 5900 },
  ],
  stalls: [],
  limitMs: 1000,
};

const activation = { holder: 'c/9', term: 9, askedMs: 3000, answeredMs: 3001 };
const outage = { fromMs: 7000, toMs: 8100 };
const death = { ...LIFE, endedMs: 3000, wasHarmed: false, exitCode: 1 };
const hang = { ...KILL, faults: [{ name: 'stop-active', text: 'a for 3000 ms' }] } as const;
const switchover = { ...KILL, faults: [{ name: 'switchover', text: 'a to b' }] } as const;

const breaches: readonly [string, RegExp, Partial<ServiceEvidence>][] = [
  [
    'service that does not come back',
    /NOT BACK: lines, http not served 4000 ms .* kill-active \(a\)/,
    { episodes: [{ ...KILL, back: ['lines', 'http'] }] },
  ],
  ['a node that does not stand by again', /NOT READY: b after/, { episodes: [{ ...KILL, rejoined: ['b'] }] }],
  ['a slow takeover from the dead', /TAKEOVER: .* after 2600 ms/, { episodes: [{ ...KILL, takeoverMs: 2600 }] }],
  ['a slow takeover from the hung', /TAKEOVER: .* after 3600 ms/, { episodes: [{ ...hang, takeoverMs: 3600 }] }],
  ['a long switchover', /PAUSE: 2001 ms/, { episodes: [{ ...switchover, longestPauseMs: 2001 }] }],
  ['a change of the active without a cause', /FLAP: c\/9 became active under term 9/, { activations: [activation] }],
  ['an outage without a cause', /OUTAGE: no acknowledgement for 1100 ms/, { outages: [outage] }],
  ['a death without a cause', /DEATH: node a \(7\) ended by itself with 1/, { lives: [death] }],
];
for (const [name, pattern, spoilt] of breaches)
  test(`finds ${name}`, () => assert.match(checkService({ ...GOOD, ...spoilt }).join('\n'), pattern));

test('finds nothing where nothing is wrong', () => assert.deepEqual(checkService(GOOD), []));

test('a hung active may take its limit longer', () =>
  assert.deepEqual(
    checkService({ ...GOOD, episodes: [{ ...hang, takeoverMs: 3400 }, ...GOOD.episodes.slice(1)] }),
    [],
  ));

test("what happens while the drill itself stands still is nobody's fault", () => {
  const stalls = [{ fromMs: 2900, toMs: 3300 }];
  const spoilt = { activations: [activation], outages: [{ fromMs: 2900, toMs: 4000 }], lives: [death] };
  assert.deepEqual(checkService({ ...GOOD, ...spoilt, stalls }), []);
});
