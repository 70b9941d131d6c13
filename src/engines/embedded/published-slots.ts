/**
 * How many slots the node has that writes the journals, for processes that have none and reach their owners (front-engine.ts): nodes of
 * one folder may have different numbers of workers.
 */
import type { StateDatabase } from './state-database.ts';
import { asStoreErrors, inFencedTransaction } from './state-database.ts';

const NAME = 'slots';

/** Durable at return; writes only what has changed. Errors: TANDEM_TERM_FENCED, TANDEM_DISK_FULL, TANDEM_STORE_FAILED. */
export function publishSlots(state: StateDatabase, slots: number): void {
  if (publishedSlots(state) === slots) return;
  inFencedTransaction(state, state.durable, () => {
    state.durable
      .prepare('INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value')
      .run(NAME, slots);
  });
}

/** undefined: no slot was ever taken here. Errors: TANDEM_STORE_FAILED. */
export function publishedSlots(state: StateDatabase): number | undefined {
  const row = asStoreErrors(() => state.durable.prepare('SELECT value FROM facts WHERE name = ?').get(NAME));
  return row?.['value'] as number | undefined;
}
