/**
 * A screen that is redrawn in place: on the terminal's alternate page, without its cursor, so that what was there before comes back. Only lines that
 * have changed are written, in one piece.
 */
import type { Line, Paint, ScreenSize, Span } from './screen.ts';

export interface Terminal {
  readonly columns?: number;
  readonly rows?: number;
  write(text: string): boolean;
  on(event: 'resize', listener: () => void): unknown;
  off(event: 'resize', listener: () => void): unknown;
}

const REDRAW_MS = 200;
const ENTER = '\u001b[?1049h\u001b[?25l\u001b[2J';
const LEAVE = '\u001b[?25h\u001b[?1049l';
/** Terminals that know it show the change at once; the others ignore it. */
const BEGIN_CHANGE = '\u001b[?2026h';
const END_CHANGE = '\u001b[?2026l';
const CLEAR_SCREEN = '\u001b[2J';
const CLEAR_REST_OF_LINE = '\u001b[K';
const toRow = (row: number): string => `\u001b[${row + 1};1H`;

const COLUMNS_DEFAULT = 80;
const ROWS_DEFAULT = 24;

export class LiveScreen {
  readonly #terminal: Terminal;
  readonly #paint: Paint;
  readonly #lines: (size: ScreenSize) => readonly Line[];
  readonly #timer: NodeJS.Timeout;
  #shown: string[] = [];
  #isOpen = true;

  /** Draws at once, and again and again until it is closed. */
  constructor(terminal: Terminal, paint: Paint, lines: (size: ScreenSize) => readonly Line[]) {
    this.#terminal = terminal;
    this.#paint = paint;
    this.#lines = lines;
    terminal.write(ENTER);
    terminal.on('resize', this.#resized);
    this.draw();
    this.#timer = setInterval(() => this.draw(), REDRAW_MS);
  }

  draw(): void {
    if (!this.#isOpen) return;
    const { columns = COLUMNS_DEFAULT, rows = ROWS_DEFAULT } = this.#terminal;
    const lines = this.#lines({ columns, rows }).map((line) => line.map((span) => this.#text(span)).join(''));
    let change = '';
    for (let row = 0; row < Math.max(lines.length, this.#shown.length); row++) {
      const line = lines[row] ?? '';
      if (line !== this.#shown[row]) change += toRow(row) + line + CLEAR_REST_OF_LINE;
    }
    this.#shown = lines;
    if (change !== '') this.#terminal.write(BEGIN_CHANGE + change + END_CHANGE);
  }

  /** The cursor and what was on the terminal before are back. Idempotent. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    clearInterval(this.#timer);
    this.#terminal.off('resize', this.#resized);
    this.#terminal.write(LEAVE);
  }

  #text(span: Span): string {
    return typeof span === 'string' ? span : this.#paint(span.style, span.text);
  }

  readonly #resized = (): void => {
    this.#shown = [];
    this.#terminal.write(CLEAR_SCREEN);
    this.draw();
  };
}
