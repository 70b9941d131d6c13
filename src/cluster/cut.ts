/** The end by force, which must not fail. */
import { asTandemError } from '../core/errors.ts';
import { delay } from '../core/ports/clock.ts';
import type { ElectorOptions } from './elector-options.ts';

const RETRY_MS = 200;

/** Resolves when nothing of the node can write; tries until then. Never rejects. */
export async function cutUntilDone(
  { clock, duties, logger }: Pick<ElectorOptions, 'clock' | 'duties' | 'logger'>,
  reason: string,
): Promise<void> {
  for (;;) {
    try {
      return await duties.cut(reason);
    } catch (error) {
      logger.error('cut_failed', { reason, message: asTandemError(error).message });
      await delay(clock, RETRY_MS);
    }
  }
}
