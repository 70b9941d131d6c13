/** What every process tells of itself. The event-loop delay is the 99th percentile since it was last asked for. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { MetricSample, MetricSource } from '../core/contracts/telemetry.ts';

const RESOLUTION_MS = 20;
const PERCENTILE = 99;

export function createProcessMetrics(): MetricSource {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  return {
    metrics(): MetricSample[] {
      // The histogram holds the whole interval between two ticks.
      const delayMs = delay.count === 0 ? 0 : Math.max(0, delay.percentile(PERCENTILE) / 1e6 - RESOLUTION_MS);
      delay.reset();
      const { user, system } = process.cpuUsage();
      return [
        counter('tandem_process_cpu_seconds_total', 'User and system time', (user + system) / 1e6),
        gauge('tandem_process_resident_bytes', 'Resident memory', process.memoryUsage.rss()),
        gauge('tandem_process_event_loop_delay_seconds', 'p99 since the last scrape', delayMs / 1000),
        gauge('tandem_process_uptime_seconds', 'Since the process started', process.uptime()),
      ];
    },
  };
}

const counter = (name: string, help: string, value: number): MetricSample => ({ name, kind: 'counter', help, value });
const gauge = (name: string, help: string, value: number): MetricSample => ({ name, kind: 'gauge', help, value });
