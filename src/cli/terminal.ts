/** What the commands print: colours where the terminal has them, tables, errors with what to do next. */
import { styleText } from 'node:util';
import { asTandemError } from '../core/errors.ts';

type Style = Parameters<typeof styleText>[0];

export const out = (line: string): boolean => process.stdout.write(`${line}\n`);
export const err = (line: string): boolean => process.stderr.write(`${line}\n`);

/** For stdout; plain when it is no terminal or NO_COLOR is set. */
export const styled = (style: Style, text: string): string => styleText(style, text, { stream: process.stdout });

const styledError = (style: Style, text: string): string => styleText(style, text, { stream: process.stderr });

export const printJson = (value: unknown): boolean => out(JSON.stringify(value));

export type Cell = string | number;

/** Columns as wide as their content; numbers to the right. */
export function table(head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const texts = rows.map((row) => row.map(String));
  const widths = head.map((title, i) => Math.max(title.length, ...texts.map((row) => (row[i] ?? '').length)));
  const isNumber = head.map((_, i) => rows.length > 0 && rows.every((row) => typeof row[i] === 'number'));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => (isNumber[i] ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)))
      .join('  ')
      .trimEnd();
  return [styled('bold', line(head)), ...texts.map(line)].join('\n');
}

const BYTE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

export function bytesText(bytes: number): string {
  const power = Math.min(Math.floor(Math.log2(Math.max(bytes, 1)) / 10), BYTE_UNITS.length - 1);
  const value = bytes / 1024 ** power;
  return `${power === 0 ? value : value.toFixed(1)} ${BYTE_UNITS[power]}`;
}

export const countText = (value: number): string => Math.round(value).toLocaleString('en-US');

export function durationText(ms: number): string {
  if (ms < 1) return `${(ms * 1000).toFixed(0)} us`;
  if (ms < 1000) return `${ms.toFixed(1)} ms`;
  return ms < 120_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 60_000)} min`;
}

/** On stderr: message, code, and what to do next; as one JSON line with `--json`. */
export function printError(thrown: unknown, isJson: boolean): void {
  const error = asTandemError(thrown);
  if (isJson) {
    err(JSON.stringify({ error: error.toJSON() }));
    return;
  }
  err(`${styledError('red', 'error')} ${error.message}`);
  err(styledError('dim', `${error.code} - ${error.hint}`));
  if (error.code === 'TANDEM_INTERNAL' && error.cause instanceof Error)
    err(styledError('dim', error.cause.stack ?? ''));
}
