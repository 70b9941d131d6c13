/**
 * A position is what a reader resumes from: the epoch of the partition's history and the next offset it wants.
 * A cursor is the same for all partitions of a topic, as one opaque text (SSE `id:`, WebSocket `from`).
 * Text form: base64url of JSON `[[partition, epoch, offset], ...]`, sorted by partition.
 */
import { TandemError } from './errors.ts';

export interface Position {
  /** Names one incarnation of the partition's history. */
  readonly epoch: string;
  /** The next offset to read. */
  readonly offset: number;
}

/** partition -> position */
export type Cursor = ReadonlyMap<number, Position>;

/**
 * Of a TANDEM_POSITION_LOST: up to where the history that the reader had followed is the past of the one called `epoch`; 0 if that is not known. So a
 * reader that goes on there misses nothing that it has not seen.
 */
export function commonOffsetOf({ data }: TandemError, epoch: string): number {
  const offset = data?.['epoch'] === epoch ? data['commonOffset'] : undefined;
  return typeof offset === 'number' ? offset : 0;
}

const CURSOR_TEXT_BYTES_MAX = 64 * 1024;

export function encodeCursor(cursor: Cursor): string {
  const rows = [...cursor].sort((a, b) => a[0] - b[0]).map(([partition, p]) => [partition, p.epoch, p.offset]);
  return Buffer.from(JSON.stringify(rows)).toString('base64url');
}

/** Throws TANDEM_POSITION_MALFORMED on anything that `encodeCursor` cannot have made. */
export function decodeCursor(text: string): Cursor {
  const cursor = new Map<number, Position>();
  for (const row of parseRows(text)) {
    if (!Array.isArray(row) || row.length !== 3) throw malformed();
    const [partition, epoch, offset] = row as [unknown, unknown, unknown];
    if (!isCount(partition) || !isCount(offset) || typeof epoch !== 'string' || cursor.has(partition))
      throw malformed();
    cursor.set(partition, { epoch, offset });
  }
  return cursor;
}

function parseRows(text: string): unknown[] {
  if (text.length > CURSOR_TEXT_BYTES_MAX) throw malformed();
  try {
    const rows: unknown = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
    if (Array.isArray(rows)) return rows;
  } catch {
    // Not JSON: the same answer as for JSON of another shape.
  }
  throw malformed();
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const malformed = (): TandemError => new TandemError('TANDEM_POSITION_MALFORMED');
