/**
 * What HAProxy's agent-check is told: one line of words for each connection (HAProxy's configuration manual, "agent-check").
 *
 *   active          up ready N%      N below 100: under pressure, or with fewer workers than it should have; send less
 *   standby         up drain         well, and no new connections; not "down", so that it is used at once when it becomes active
 *   leaving         up drain      it stops, or hands over
 *   unhealthy       down #reason     the '#' is a word of its own: HAProxy takes `down#reason` for an unknown word and ignores it
 *
 * HAProxy keeps the last answer when nobody answers, so the agent-check goes with a health check (`/readyz`) that sees a dead node.
 */
import { createServer, type Server } from 'node:net';
import type { Health } from '../core/contracts/health.ts';

export interface AgentFacts {
  readonly health: Health;
  /** It stops, or hands over to another node. */
  readonly isLeaving: boolean;
  /** One entry per slot: how near the worker is to its limits, 0 to 1; null: none serves. */
  readonly pressures: readonly (number | null)[];
}

/** Up to here a worker gets its whole share. */
const PRESSURE_FREE = 0.5;
/** What a worker at its limits still gets: none would mean that nobody tries whether it is better. */
const SHARE_MIN = 0.1;
/** Steps of the weight: HAProxy logs each change. */
const STEP_PERCENT = 10;
const REASON_CHARS_MAX = 120;

/** Without the line feed. */
export function agentLine(facts: AgentFacts): string {
  const { health, isLeaving } = facts;
  if (isLeaving || health.role === 'standby') return 'up drain';
  if (!health.isReady) return `down #${reasonText(health.reason)}`;
  return `up ready ${weightPercent(facts.pressures)}%`;
}

/** Of 100: the share of the slots that can take more. At least one step, for a node that serves at all. */
function weightPercent(pressures: readonly (number | null)[]): number {
  if (pressures.length === 0) return 100;
  const shares = pressures.map((pressure) => (pressure === null ? 0 : shareOf(pressure)));
  const share = shares.reduce((sum, each) => sum + each, 0) / shares.length;
  return Math.max(Math.round((share * 100) / STEP_PERCENT) * STEP_PERCENT, STEP_PERCENT);
}

function shareOf(pressure: number): number {
  const excess = Math.min(Math.max((pressure - PRESSURE_FREE) / (1 - PRESSURE_FREE), 0), 1);
  return 1 - excess * (1 - SHARE_MIN);
}

/** One line of printable ASCII. */
const reasonText = (reason: string): string => reason.replaceAll(/[^\x20-\x7e]+/g, ' ').slice(0, REASON_CHARS_MAX);

/** Who connects and does not go away is cut. */
const LINGER_MS = 1000;
const CONNECTIONS_MAX = 64;

/** Answers each connection with the line of that moment, then ends it; what is sent to it is ignored. Not yet listening. */
export function createAgentServer(line: () => string): Server {
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.setTimeout(LINGER_MS, () => socket.destroy());
    socket.resume();
    socket.end(`${line()}\n`);
  });
  server.maxConnections = CONNECTIONS_MAX;
  return server;
}
