/** What a test and an engine in a child process say to each other over the fork's channel (serialization: advanced). */
import type { EngineCapabilities } from '../../core/contracts/engine.ts';
import { type ErrorCode, TandemError } from '../../core/errors.ts';

export type Part = 'engine' | 'topics' | 'store' | 'groups' | 'leases' | 'membership';

/** `callback` stands for the function that `watch` and `join` take as their last argument; `member` for a membership. */
export interface CallMessage {
  readonly id: number;
  readonly part: Part;
  readonly method: string;
  readonly args: readonly unknown[];
  readonly callback?: number;
  readonly member?: number;
}

export interface FlatError {
  /** undefined: not a TandemError, which the suite must see as such. */
  readonly code: ErrorCode | undefined;
  readonly message: string;
  readonly data: { readonly [name: string]: unknown } | undefined;
}

export type ChildMessage =
  | { readonly kind: 'open'; readonly capabilities: EngineCapabilities }
  | { readonly kind: 'answer'; readonly id: number; readonly value?: unknown; readonly error?: FlatError }
  | { readonly kind: 'callback'; readonly callback: number; readonly value: unknown };

export function flatten(error: unknown): FlatError {
  const isOurs = error instanceof TandemError;
  const message = error instanceof Error ? error.message : String(error);
  return { code: isOurs ? error.code : undefined, message, data: isOurs ? error.data : undefined };
}

export function restore({ code, message, data }: FlatError): Error {
  if (code === undefined) return new Error(message);
  return new TandemError(code, { detail: message, ...(data === undefined ? {} : { data }) });
}
