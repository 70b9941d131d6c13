/** The error type that leaves a stage. The codes and what they mean: error-registry.ts. */
import { ERRORS } from './error-registry.ts';

export { ERRORS };

export type ErrorCode = keyof typeof ERRORS;

export interface TandemErrorOptions {
  /** What exactly, where: appended to the registry's message. Never a secret. */
  readonly detail?: string;
  readonly cause?: unknown;
  /** Machine-readable facts for the client, e.g. `{ firstOffset: 12 }`. */
  readonly data?: { readonly [name: string]: unknown };
}

/** The only error type that leaves a stage. */
export class TandemError extends Error {
  readonly code: ErrorCode;
  readonly data: { readonly [name: string]: unknown } | undefined;

  constructor(code: ErrorCode, options: TandemErrorOptions = {}) {
    super(options.detail === undefined ? ERRORS[code].message : `${ERRORS[code].message}: ${options.detail}`, {
      cause: options.cause,
    });
    this.name = 'TandemError';
    this.code = code;
    this.data = options.data;
  }

  get hint(): string {
    return ERRORS[this.code].hint;
  }
  get retryable(): boolean {
    return ERRORS[this.code].retryable;
  }
  get number(): number {
    return ERRORS[this.code].number;
  }
  get httpStatus(): number {
    return ERRORS[this.code].httpStatus;
  }
  get closeCode(): number {
    return ERRORS[this.code].closeCode;
  }

  /** The form in which errors are answered on HTTP and shown by `--json`. */
  toJSON(): { code: ErrorCode; message: string; hint: string; retryable: boolean; data?: unknown } {
    const { code, message, hint, retryable } = this;
    return this.data === undefined
      ? { code, message, hint, retryable }
      : { code, message, hint, retryable, data: this.data };
  }
}

/** Wraps anything thrown: a TandemError as it is, all else as TANDEM_INTERNAL (or `code`) with the cause kept. */
export function asTandemError(thrown: unknown, code: ErrorCode = 'TANDEM_INTERNAL'): TandemError {
  if (thrown instanceof TandemError) return thrown;
  return new TandemError(code, { detail: thrown instanceof Error ? thrown.message : String(thrown), cause: thrown });
}
