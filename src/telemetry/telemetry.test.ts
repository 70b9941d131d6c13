import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MetricSample } from '../core/contracts/telemetry.ts';
import { createLogger, prettyLine } from './logger.ts';
import { createProcessMetrics } from './process-metrics.ts';
import { labelled, renderPrometheus } from './prometheus.ts';

test('a log line is JSON with time, level, event, the base and the facts; lower levels are left out', () => {
  const lines: string[] = [];
  const write = (line: string) => void lines.push(line);
  const logger = createLogger({ level: 'info', base: { slot: 1 }, isPretty: false, write });
  logger.debug('unseen');
  logger.warn('worker_hung', { silentMs: 3012 });
  assert.equal(lines.length, 1);
  const { time, ...rest } = JSON.parse(lines[0] as string) as { time: string };
  assert.match(time, /^\d{4}-\d\d-\d\dT.*Z$/);
  assert.deepEqual(rest, { level: 'warn', slot: 1, silentMs: 3012, event: 'worker_hung' });
});

test('on a terminal it is one readable line', () => {
  const json = JSON.stringify({ level: 'warn', time: '2026-01-02T03:04:05.678Z', slot: 1, text: 'a b\n', event: 'x' });
  assert.equal(prettyLine(json), '03:04:05.678 WARN  x slot=1 text="a b\\n"\n');
});

test('Prometheus text: one head per name, samples together, labels escaped', () => {
  const sample = (name: string, value: number): MetricSample => ({ name, kind: 'counter', help: 'a\nb', value });
  const topic = { ...sample('tandem_a_total', 3), labels: { topic: 'x"\\\n' } };
  const samples = [...labelled([sample('tandem_a_total', 1), sample('tandem_b_total', 2)], 'slot', '0'), topic];
  assert.equal(
    renderPrometheus(samples),
    '# HELP tandem_a_total a\\nb\n# TYPE tandem_a_total counter\ntandem_a_total{slot="0"} 1\ntandem_a_total{topic="x\\"\\\\\\n"} 3\n' +
      '# HELP tandem_b_total a\\nb\n# TYPE tandem_b_total counter\ntandem_b_total{slot="0"} 2\n',
  );
});

test('process metrics are sane numbers', () => {
  for (const { name, value } of createProcessMetrics().metrics()) assert.ok(Number.isFinite(value) && value >= 0, name);
});
