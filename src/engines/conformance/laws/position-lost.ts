/**
 * Law: position lost.
 * - A position of another epoch MUST be refused with TANDEM_POSITION_LOST, never answered with records; epoch '' means any.
 * - A position below the oldest record MUST be refused with TANDEM_POSITION_LOST and `data.firstOffset`.
 * - A position after the end MUST be refused with TANDEM_POSITION_AHEAD.
 */
import assert from 'node:assert/strict';
import { append, ensureTopic, type Law, type LawContext, PLACE, START, texts } from '../law.ts';

export const positionLost: Law = {
  name: 'position-lost',
  cases: [
    { name: 'another epoch is refused', run: otherEpoch },
    { name: 'a trimmed position is refused and tells where the partition begins', run: trimmed },
    { name: 'a position after the end is refused', run: ahead },
  ],
};

async function otherEpoch({ engine }: LawContext): Promise<void> {
  await ensureTopic(engine);
  const { epoch } = await append(engine, texts('x', 3));
  for (const offset of [0, 2, 3]) {
    const read = engine.store.read(PLACE, { epoch: `${epoch}0`, offset }, 1000);
    await assert.rejects(read, { code: 'TANDEM_POSITION_LOST' });
  }
  assert.equal((await engine.store.read(PLACE, START, 1000)).epoch, epoch);
}

async function trimmed({ engine }: LawContext): Promise<void> {
  await ensureTopic(engine);
  const { epoch } = await append(engine, texts('x', 5));
  await append(engine, texts('x', 5, 5));
  await engine.store.trim(PLACE, 6);
  for (const from of [
    { epoch, offset: 5 },
    { epoch: '', offset: 0 },
  ])
    await assert.rejects(
      engine.store.read(PLACE, from, 1000),
      (error: { code: string; data?: { firstOffset?: number } }) => {
        assert.equal(error.code, 'TANDEM_POSITION_LOST');
        assert.equal(error.data?.firstOffset, 6);
        return true;
      },
    );
}

async function ahead({ engine }: LawContext): Promise<void> {
  await ensureTopic(engine);
  const empty = engine.store.read(PLACE, { epoch: '', offset: 1 }, 1000);
  await assert.rejects(empty, { code: 'TANDEM_POSITION_AHEAD' });
  const { epoch } = await append(engine, texts('x', 3));
  assert.equal((await engine.store.read(PLACE, { epoch, offset: 3 }, 1000)).batches.length, 0);
  await assert.rejects(engine.store.read(PLACE, { epoch, offset: 4 }, 1000), { code: 'TANDEM_POSITION_AHEAD' });
}
