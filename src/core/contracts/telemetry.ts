/**
 * How stages tell what they do. Stages count in plain numbers and hand them out on request: counting costs an addition.
 * Metric names are `tandem_<stage>_<what>_<unit>`, counters end in `_total` (Prometheus naming practice).
 */
export interface MetricSample {
  readonly name: string;
  readonly kind: 'counter' | 'gauge';
  readonly help: string;
  readonly labels?: { readonly [name: string]: string };
  readonly value: number;
}

export interface MetricSource {
  metrics(): MetricSample[];
}

export type LogFields = { readonly [name: string]: unknown };

/** Structured: `event` is a stable snake_case name, facts are fields. Never a token, a key or a record's data. */
export interface Logger {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
}

export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} };
