import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TopicCatalog } from '../../core/contracts/engine.ts';
import { silentLogger } from '../../core/contracts/telemetry.ts';
import { TandemError } from '../../core/errors.ts';
import { DEFAULT_LIMITS } from '../../core/limits.ts';
import { ManualClock } from '../../core/ports/manual-clock.ts';
import { seededRandom } from '../../core/ports/random.ts';
import { MemoryStore, openMemoryEngine } from '../memory/memory-engine.ts';
import { RemoteLink } from './remote-link.ts';
import { SpooledTopics } from './spooled-topics.ts';
import { TOPIC } from './testing/spool-fixture.ts';

const AWAY = new TandemError('TANDEM_STORE_UNREACHABLE');

test('whoever waits for the engine gets the probe of a topic that need not be made any more', async () => {
  const clock = new ManualClock();
  const base = { clock, random: seededRandom(1), limits: DEFAULT_LIMITS, logger: silentLogger };
  const catalog = (): TopicCatalog => openMemoryEngine({ ...base, store: new MemoryStore(base) }).topics;
  const [local, remote, link] = [catalog(), catalog(), new RemoteLink(base)];
  const retentionOf = () => ({ retentionMs: null, retentionBytes: null });
  const topics = new SpooledTopics({ ...base, local, remote, link, retentionOf });
  for (const isWaitingBefore of [true, false]) {
    link.failed(AWAY);
    await topics.ensure({ ...TOPIC, name: `t-${isWaitingBefore}` });
    let isUp = false;
    const wait = (): void => void link.up()?.then(() => (isUp = true));
    if (isWaitingBefore) wait();
    // A forwarder has brought it, but was not answered what it asked then.
    await topics.bring(`t-${isWaitingBefore}`);
    await clock.advance(1000);
    if (!isWaitingBefore) wait();
    await clock.advance(1000);
    assert.ok(isUp, 'it may try whether the engine is back');
    link.succeeded();
    assert.equal(link.isAway, false);
  }
});
