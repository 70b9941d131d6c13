/** What scripts may rely on. docs/cli.md names the same numbers; a test compares them. */
import { type ErrorCode, TandemError } from '../core/errors.ts';

export const EXIT = {
  ok: 0,
  /** The command did not do what it should; the error's code says why. */
  failed: 1,
  /** Wrong arguments or configuration. */
  usage: 2,
  /** No server answers. */
  unreachable: 3,
  /** A token is missing, unknown or has no right to this. */
  forbidden: 4,
} as const;

const BY_CODE: { readonly [Code in ErrorCode]?: number } = {
  TANDEM_CONFIG_INVALID: EXIT.usage,
  TANDEM_EXPOSED_WITHOUT_AUTH: EXIT.usage,
  TANDEM_SERVER_UNREACHABLE: EXIT.unreachable,
  TANDEM_AUTH_REQUIRED: EXIT.forbidden,
  TANDEM_AUTH_INVALID: EXIT.forbidden,
  TANDEM_AUTH_FORBIDDEN: EXIT.forbidden,
};

export const exitCodeOf = (error: unknown): number =>
  error instanceof TandemError ? (BY_CODE[error.code] ?? EXIT.failed) : EXIT.failed;
