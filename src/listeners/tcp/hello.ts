/** The optional first record of a TCP stream: `HELLO {"producer":"id","seq":n,"token":"…"}`. A first record that begins so is never data. */
import * as z from 'zod';
import { TandemError } from '../../core/errors.ts';

export const HELLO_PREFIX: Buffer = Buffer.from('HELLO ');
/** A longer HELLO is refused. */
export const HELLO_BYTES_MAX: number = 4096;

const helloSchema = z.strictObject({
  producer: z.string().optional(),
  seq: z.int().min(1).optional(),
  token: z.string().optional(),
});
export type Hello = z.infer<typeof helloSchema>;

/** Errors: TANDEM_INPUT_MALFORMED. Its text never holds what was sent: that may be a token. */
export function parseHello(line: Buffer): Hello {
  let value: unknown;
  try {
    value = JSON.parse(line.toString('utf8', HELLO_PREFIX.length));
  } catch {
    throw new TandemError('TANDEM_INPUT_MALFORMED', { detail: 'HELLO must be followed by a JSON object' });
  }
  const parsed = helloSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue) => `${issue.path.join('.') || 'object'}: ${issue.message}`);
  throw new TandemError('TANDEM_INPUT_MALFORMED', { detail: `HELLO: ${problems.join('; ')}` });
}
