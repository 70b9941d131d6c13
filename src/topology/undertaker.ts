/** The keeper's side of its undertaker (undertaker-main.ts): starts it, starts it again if it dies, tells it what the node holds. */
import { type ChildProcess, fork } from 'node:child_process';
import type { LeaseGrant } from '../core/contracts/engine.ts';
import type { ToUndertaker, UndertakerTask } from './undertaker-messages.ts';

const SOURCE = new URL('./undertaker-main.ts', import.meta.url);
/** Beside this module, and built if this is. */
const ENTRY = import.meta.url.endsWith('.ts') ? SOURCE : new URL('undertaker-main.js', SOURCE);
const RESTART_MS = 1000;

export class Undertaker {
  readonly #task: UndertakerTask;
  #child: ChildProcess;
  #grant: LeaseGrant | undefined;
  #isStopped = false;

  constructor(task: UndertakerTask) {
    this.#task = task;
    this.#child = this.#start();
  }

  /** What is to be given back if this process dies; earlier grants have ended by it. */
  note(grant: LeaseGrant): void {
    this.#grant = grant;
    this.#tell(this.#child, { kind: 'grant', grant });
  }

  stop(): void {
    this.#isStopped = true;
    this.#tell(this.#child, { kind: 'end' });
  }

  #start(): ChildProcess {
    const child = fork(ENTRY, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    // It must not keep a keeper alive that has nothing else to do.
    child.unref();
    child.channel?.unref();
    child.on('error', () => {});
    child.once('exit', () => {
      if (this.#isStopped) return;
      setTimeout(() => {
        if (!this.#isStopped) this.#child = this.#start();
      }, RESTART_MS).unref();
    });
    this.#tell(child, { kind: 'begin', task: this.#task });
    if (this.#grant !== undefined) this.#tell(child, { kind: 'grant', grant: this.#grant });
    return child;
  }

  /** To one that is dying: the next one is told everything again. */
  #tell(child: ChildProcess, message: ToUndertaker): void {
    if (child.connected) child.send(message, () => {});
  }
}
