/**
 * What the supervisor knows of the configuration. topology/ derives it from the config; the config itself passes through untouched to
 * the workers. Constants of the process model stand here with their reasons.
 */

/** One entry of `listen`. Its index is what workers know a listener by. */
export interface ListenAddress {
  readonly transport: 'stream' | 'datagram';
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** As written in the config, for logs and error messages. */
  readonly url: string;
}

export interface WorkerLimits {
  /** How many slots. */
  readonly count: number;
  /** A serving worker whose event loop has not turned for so long is killed. */
  readonly heartbeatTimeoutMs: number;
  /** More restarts than this within the window: back off. */
  readonly restartCountMax: number;
  readonly restartWindowMs: number;
  readonly drainTimeoutMs: number;
}

export interface KeeperPlan {
  /** Clients are served by fronts, active or not, and slots' workers serve none (mode active-active). */
  readonly hasFronts: boolean;
  readonly listen: readonly ListenAddress[];
  readonly workers: WorkerLimits;
  /** Handed to the workers as it is: plain data. */
  readonly config: unknown;
}

/** A worker says that it is alive this often. */
export const HEARTBEAT_MS = 250;
/** A worker that was silent for so long gets no new connections while others do, and as a spare no slot. */
export const SUSPECT_MS = 1000;
/** Loading modules may block the event loop for this many times longer than serving may. */
export const LOADING_SILENCE_FACTOR = 4;
/** And recovering a log, with sidecars to be made again, much longer. */
export const OPENING_SILENCE_FACTOR = 20;
/**
 * Between the last connection that a worker gets and its drain: what clients send at once has arrived by then and is served, so that a
 * reload is not seen by those who connect and ask.
 */
export const DRAIN_QUIET_MS = 100;
/** A node that has given up its right warms up again so much later: whoever takes over needs the machine now. */
export const REWARM_DELAY_MS = 500;
/** For so long a node that becomes active waits for its addresses to be free, asking so often. */
export const BIND_PATIENCE_MS = 500;
export const BIND_RETRY_MS = 2;
/** After the drain deadline a worker gets so long to exit by itself. */
export const DRAIN_GRACE_MS = 1000;
/** Accepted connections that wait in the keeper while no worker serves. Above: closed at once. Each costs a file descriptor. */
export const WAITING_CONNECTIONS_MAX = 4096;
/** A worker's answer to a question (status, metrics) is awaited for so long. */
export const ANSWER_TIMEOUT_MS = 2000;
/** And to a command, which may have to wait for handlers. Below the 5 minutes after which HTTP clients commonly give up. */
export const COMMAND_TIMEOUT_MS = 240_000;
/** After the slots begin to serve: until then the machine is for the clients that come back. */
export const SPARE_DELAY_MS = 500;
/**
 * V8's default lets garbage of short life take some 30 MB more in each process, which brings no throughput here, and which the kernel has to take
 * back when a node dies before another can go on.
 */
export const YOUNG_GENERATION_MB = 4;
