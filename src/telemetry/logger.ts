/**
 * The process's log: pino, one JSON object per line on standard error, written before the call returns (so that the last line before a
 * crash is there). On a terminal: one readable line instead. Fields: time (ISO), level, event, then the facts.
 */
import pino from 'pino';
import type { LogFields, Logger } from '../core/contracts/telemetry.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export const LOG_LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

export interface LoggerOptions {
  readonly level: LogLevel;
  /** In every line: which process this is. */
  readonly base: LogFields;
  /** Readable lines instead of JSON. Default: standard error is a terminal. */
  readonly isPretty?: boolean;
  /** Default: standard error, synchronous. */
  readonly write?: (line: string) => void;
}

export function createLogger(options: LoggerOptions): Logger {
  const isPretty = options.isPretty ?? process.stderr.isTTY === true;
  const target = options.write === undefined ? pino.destination({ fd: 2, sync: true }) : { write: options.write };
  const stream = isPretty ? { write: (line: string) => void target.write(prettyLine(line)) } : target;
  const logger = pino(
    {
      level: options.level,
      base: options.base,
      messageKey: 'event',
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    stream,
  );
  return {
    debug: (event, fields) => logger.debug(fields ?? {}, event),
    info: (event, fields) => logger.info(fields ?? {}, event),
    warn: (event, fields) => logger.warn(fields ?? {}, event),
    error: (event, fields) => logger.error(fields ?? {}, event),
  };
}

/** `12:00:00.000 WARN  worker_hung slot=0 silentMs=3012` from a JSON line. */
export function prettyLine(line: string): string {
  const { time, level, event, ...facts } = JSON.parse(line) as { [field: string]: unknown };
  const words = Object.entries(facts).map(([name, value]) => `${name}=${prettyValue(value)}`);
  return `${[String(time).slice(11, 23), String(level).toUpperCase().padEnd(5), event, ...words].join(' ')}\n`;
}

function prettyValue(value: unknown): string {
  if (typeof value === 'string') return /^[\w./:@,+-]+$/.test(value) ? value : JSON.stringify(value);
  return JSON.stringify(value) ?? 'null';
}
