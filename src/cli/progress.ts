/** How far a long command is, on stderr: a bar that is redrawn on a terminal, a line every five seconds elsewhere. */
import { countText, durationText } from './terminal.ts';

export interface Progress {
  /** `total` undefined: not known. */
  update(done: number, total?: number): void;
  /** Removes the bar. */
  end(): void;
}

interface Screen {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): boolean;
}

const REDRAW_MS = 100;
const LINE_MS = 5000;
const BAR_WIDTH = 24;
const CLEAR_LINE = '\r\u001b[K';

export function startProgress(
  what: string,
  screen: Screen = process.stderr,
  nowMs: () => number = () => performance.now(),
): Progress {
  const startMs = nowMs();
  const isBar = screen.isTTY === true;
  let lastMs = isBar ? Number.NEGATIVE_INFINITY : startMs;
  return {
    update(done, total) {
      const now = nowMs();
      if (now - lastMs < (isBar ? REDRAW_MS : LINE_MS)) return;
      lastMs = now;
      const text = progressText(what, done, total, now - startMs);
      screen.write(isBar ? `${CLEAR_LINE}${text.slice(0, (screen.columns ?? 80) - 1)}` : `${text}\n`);
    },
    end() {
      if (isBar && lastMs !== Number.NEGATIVE_INFINITY) screen.write(CLEAR_LINE);
    },
  };
}

function progressText(what: string, done: number, total: number | undefined, elapsedMs: number): string {
  const rate = elapsedMs > 0 ? (done / elapsedMs) * 1000 : 0;
  const speed = `${countText(rate)}/s`;
  if (total === undefined || total === 0) return `${what} ${countText(done)}  ${speed}  ${durationText(elapsedMs)}`;
  const fraction = Math.min(done / total, 1);
  const filled = Math.round(fraction * BAR_WIDTH);
  const bar = '█'.repeat(filled) + '░'.repeat(BAR_WIDTH - filled);
  const leftMs = rate > 0 ? ((total - done) / rate) * 1000 : 0;
  return `${what} ${bar} ${Math.floor(fraction * 100)} %  ${countText(done)}/${countText(total)}  ${speed}  ${durationText(leftMs)} left`;
}
