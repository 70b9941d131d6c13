/** What a new engine brings so that the suite can judge it: how its members are opened, reopened and killed on fresh data. */
import type { Engine } from '../../core/contracts/engine.ts';

export interface HarnessOptions {
  /** How many members (processes of the engine, numbered from 0) the case opens; all of them before its first step. */
  readonly members: number;
  /** The case kills members: where data is meant to survive that, a member must be a process of its own, ended by SIGKILL. */
  readonly mayDie: boolean;
}

/** One set of data and its members. Made anew for each case. */
export interface EngineHarness {
  /** Opens a member that is not open, under a term above all earlier ones: at the start, or in the place of one that was killed. */
  open(member: number): Promise<Engine>;
  /** Closes the member cleanly and opens it again. */
  reopen(member: number): Promise<Engine>;
  /** The member's process dies; nothing of it runs on when this resolves. Not a close. */
  kill(member: number): Promise<void>;
  /** The member's process is stopped, as by SIGSTOP: nothing of it runs until `resume`. Asked only of members that are processes of their own. */
  suspend(member: number): Promise<void>;
  resume(member: number): Promise<void>;
  /** Ends all members and removes the data. */
  dispose(): Promise<void>;
}

export type OpenHarness = (options: HarnessOptions) => Promise<EngineHarness>;
