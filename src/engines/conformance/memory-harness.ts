/** The memory engine's members share one store; the death of one is its own kill switch. */
import type { Engine } from '../../core/contracts/engine.ts';
import { DEFAULT_LIMITS } from '../../core/limits.ts';
import { systemClock } from '../../core/ports/clock.ts';
import { systemRandom } from '../../core/ports/random.ts';
import { type MemoryEngine, MemoryStore, openMemoryEngine } from '../memory/memory-engine.ts';
import type { EngineHarness } from './harness.ts';

export const openMemoryHarness = (): Promise<EngineHarness> => openMembers((engine) => engine);

/** `wrap` stands between the suite and each member. */
export async function openMembers(wrap: (engine: Engine) => Engine): Promise<EngineHarness> {
  const options = { clock: systemClock, random: systemRandom, limits: DEFAULT_LIMITS };
  const store = new MemoryStore(options);
  const members = new Map<number, { readonly bare: MemoryEngine; readonly engine: Engine }>();
  const open = async (member: number): Promise<Engine> => {
    const bare = openMemoryEngine({ ...options, store, member: `member ${member}` });
    const engine = wrap(bare);
    members.set(member, { bare, engine });
    return engine;
  };
  return {
    open,
    async reopen(member) {
      await members.get(member)?.engine.close();
      return open(member);
    },
    async kill(member) {
      members.get(member)?.bare.kill();
    },
    suspend: () => Promise.reject(new Error('members of one process cannot be stopped one by one')),
    resume: () => Promise.reject(new Error('members of one process cannot be stopped one by one')),
    async dispose() {
      for (const { engine } of members.values()) await engine.close();
    },
  };
}
