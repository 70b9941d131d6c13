/** What there is to see of a demo at one moment: plain data for screen.ts and event-lines.ts. */
import type { Fault, FaultKind, FaultSummary } from './takeovers.ts';

export interface DemoView {
  readonly phase: 'starting' | 'running' | 'draining' | 'reading back';
  /** Of reading back, in records. */
  readonly progress: { readonly done: number; readonly total: number };
  readonly elapsedMs: number;
  readonly durationMs: number;
  readonly seed: number;
  /** As planned. */
  readonly recordsPerSecond: number;
  readonly nodes: readonly DemoNodeView[];
  readonly acked: FlowView;
  /** To all subscribers together. */
  readonly delivered: FlowView;
  readonly subscribers: number;
  /** Sent or to be sent, and not acked. */
  readonly waiting: number;
  /** Since the last ack. */
  readonly quietMs: number;
  readonly longestPauseMs: number;
  /** Oldest first. */
  readonly faults: readonly Fault[];
  readonly summaries: ReadonlyMap<FaultKind, FaultSummary>;
  readonly problems: readonly string[];
}

export interface DemoNodeView {
  readonly name: string;
  readonly state: 'active' | 'standby' | 'starting' | 'hung' | 'down';
  readonly pid: number | null;
  /** 0: none. */
  readonly term: number;
  /** As the node says. */
  readonly reason: string;
}

export interface FlowView {
  readonly total: number;
  readonly perSecond: number;
  /** Per tenth of a second, oldest first. */
  readonly tenths: readonly number[];
}
