/** One real `tandem up` of the demo, in a process group of its own, that can be killed or stopped as a whole and started again. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import type { ProcessGuard } from './process-guard.ts';

export interface DemoNodeOptions {
  /** The program `tandem`. */
  readonly program: string;
  readonly name: string;
  readonly configFile: string;
  readonly logFile: string;
  readonly adminPort: number;
  readonly guard: ProcessGuard;
  /** It ended, and nobody here had harmed it. */
  readonly onEndedUnasked: (end: UnaskedEnd) => void;
}

export interface UnaskedEnd {
  /** For people: exit code, signal or error. */
  readonly how: string;
  /** Not by its own fault: SIGKILL (the other nodes took it for hung, or the system was out of memory), or it was told to stop. */
  readonly isFromOutside: boolean;
}

/** running: started, and not harmed since. */
export type NodeCondition = 'running' | 'hung' | 'killed' | 'down';

export class DemoNode {
  readonly name: string;
  readonly adminUrl: string;
  condition: NodeCondition = 'down';
  /** For people. */
  downReason = '';
  readonly #options: DemoNodeOptions;
  #child: ChildProcess | undefined;

  constructor(options: DemoNodeOptions) {
    this.#options = options;
    this.name = options.name;
    this.adminUrl = `http://127.0.0.1:${options.adminPort}`;
  }

  /** undefined: it does not run. */
  get pid(): number | undefined {
    return this.condition === 'down' ? undefined : this.#child?.pid;
  }

  start(): void {
    if (this.condition !== 'down') return;
    const { program, name, configFile, logFile, guard, onEndedUnasked } = this.#options;
    const log = openSync(logFile, 'a');
    const args = [program, 'up', '--config', configFile, '--name', name];
    // The channel tells the node when this process dies. In a group of its own: Ctrl-C does not reach it.
    const options = { detached: true, stdio: ['ignore', log, log, 'ipc'], env: environment() } as const;
    const child = spawn(process.execPath, args, { ...options, stdio: [...options.stdio] });
    closeSync(log);
    this.#child = child;
    this.condition = 'running';
    if (child.pid !== undefined) guard.watch(child.pid);
    let isOver = false;
    const ended = (how: string, isFromOutside = false): void => {
      if (isOver) return;
      isOver = true;
      const wasRunning = this.condition === 'running';
      this.condition = 'down';
      if (child.pid !== undefined) {
        signalGroup(child.pid, 'SIGKILL');
        guard.forget(child.pid);
      }
      if (wasRunning) onEndedUnasked({ how, isFromOutside });
    };
    child.on('error', (error) => ended(error.message));
    child.on('exit', (code, signal) => ended(signal ?? `exit code ${code}`, signal === 'SIGKILL' || code === 0));
  }

  /** SIGKILLs all its processes. */
  kill(): void {
    if (this.condition === 'running') this.downReason = 'all its processes were killed';
    this.#harm('killed', 'SIGKILL');
  }

  /** SIGSTOPs all its processes: they keep their sockets and locks, and do nothing. */
  hang(): void {
    this.downReason = 'it hung: another node has ended it';
    this.#harm('hung', 'SIGSTOP');
  }

  #harm(condition: NodeCondition, signal: NodeJS.Signals): void {
    if (this.pid === undefined) return;
    this.condition = condition;
    signalGroup(this.pid, signal);
  }
}

/** What is set for nodes of this user must not change those of the demo. */
function environment(): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('TANDEM_'));
  return { ...Object.fromEntries(own), NO_COLOR: '1' };
}

function signalGroup(group: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-group, signal);
  } catch {
    // Nothing of it is left.
  }
}
