/**
 * An engine in a child process, used through the same contract: so that a law can kill it with SIGKILL, as the kernel or an operator would.
 *
 * After the death every outstanding and later call rejects with TANDEM_WORKER_LOST. Not like an engine of this process: `peek` knows what
 * calls through this object have answered, and `localPartitions` is not there.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type {
  Assignment,
  Engine,
  EngineCapabilities,
  GroupStore,
  LeaseStore,
  Membership,
  RecordStore,
  TopicCatalog,
  TopicInfo,
} from '../../core/contracts/engine.ts';
import { TandemError } from '../../core/errors.ts';
import { type CallMessage, type ChildMessage, type Part, restore } from './remote-messages.ts';

export interface RemoteEngine extends Engine {
  /** SIGKILL; resolves when the process is reaped. */
  kill(): Promise<void>;
  /** SIGSTOP, SIGCONT. */
  suspend(): void;
  resume(): void;
}

/** Runs `module` with `args`, which must call `serveEngine`. Rejects if the child ends before its engine is open. */
export async function openRemoteEngine(module: URL, args: readonly string[]): Promise<RemoteEngine> {
  const child = fork(module, args, { serialization: 'advanced', stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const channel = new Channel(child);
  const capabilities = await channel.opened;
  const engineCall = (method: string, ...args: unknown[]): Promise<unknown> =>
    channel.call({ part: 'engine', method, args });
  return {
    capabilities,
    topics: remoteTopics(channel),
    store: remoteStore(channel),
    groups: remoteGroups(channel),
    leases: remotePart<LeaseStore>(channel, 'leases', ['acquire', 'renew', 'release', 'issueTerm', 'holder']),
    claim: (term) => engineCall('claim', term) as Promise<void>,
    identity: () => engineCall('identity') as Promise<string>,
    close: () => engineCall('close') as Promise<void>,
    kill: () => channel.kill(),
    suspend: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
  };
}

interface Outstanding {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

class Channel {
  readonly opened: Promise<EngineCapabilities>;
  readonly callbacks = new Map<number, (value: unknown) => void>();
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;
  readonly #outstanding = new Map<number, Outstanding>();
  #ids = 0;

  constructor(child: ChildProcess) {
    this.#child = child;
    this.#exited = once(child, 'exit');
    this.opened = new Promise((resolve, reject) => {
      child.on('message', (message: ChildMessage) => {
        if (message.kind === 'open') resolve(message.capabilities);
        else this.#take(message);
      });
      child.on('exit', (code, signal) => {
        reject(new Error(`the engine's process ended (${code ?? signal}) before it was open`));
        this.#loseAll();
      });
    });
  }

  nextId(): number {
    return ++this.#ids;
  }

  call(call: Omit<CallMessage, 'id'>): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const id = this.nextId();
      if (!this.#child.connected) return reject(lost());
      this.#outstanding.set(id, { resolve, reject });
      this.#child.send({ ...call, id }, (error) => {
        if (error === null) return;
        this.#outstanding.delete(id);
        reject(lost());
      });
    });
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exited;
    this.#loseAll();
  }

  #take(message: Exclude<ChildMessage, { readonly kind: 'open' }>): void {
    if (message.kind === 'callback') {
      this.callbacks.get(message.callback)?.(message.value);
      return;
    }
    const { id, value, error } = message;
    const outstanding = this.#outstanding.get(id);
    this.#outstanding.delete(id);
    if (error === undefined) outstanding?.resolve(value);
    else outstanding?.reject(restore(error));
  }

  #loseAll(): void {
    for (const { reject } of this.#outstanding.values()) reject(lost());
    this.#outstanding.clear();
  }
}

const lost = (): TandemError => new TandemError('TANDEM_WORKER_LOST');

/** Plain methods of one part of the engine. */
function remotePart<T>(channel: Channel, part: Part, methods: readonly (keyof T & string)[]): T {
  const entries = methods.map((method) => [
    method,
    (...args: unknown[]) => channel.call({ part, method, args: args.filter((arg) => typeof arg !== 'function') }),
  ]);
  return Object.fromEntries(entries) as T;
}

function remoteTopics(channel: Channel): TopicCatalog {
  const known = new Map<string, TopicInfo>();
  const learn = (topic: TopicInfo | undefined): void => {
    if (topic !== undefined) known.set(topic.name, topic);
  };
  const inner = remotePart<TopicCatalog>(channel, 'topics', ['ensure', 'find', 'list']);
  return {
    peek: (name) => known.get(name),
    async ensure(topic) {
      const made = await inner.ensure(topic);
      learn(made);
      return made;
    },
    async find(name) {
      const found = await inner.find(name);
      learn(found);
      return found;
    },
    list: () => inner.list(),
  };
}

function remoteStore(channel: Channel): RecordStore {
  const methods = ['read', 'state', 'trim', 'lastSequence', 'originSequence', 'claim'] as const;
  const plain = remotePart<RecordStore>(channel, 'store', methods);
  return {
    ...plain,
    append: (batch) => {
      // The channel copies whole views: not more of the lengths than there are records.
      const set = { ...batch.set, lengths: batch.set.lengths.slice(0, batch.set.count) };
      return channel.call({ part: 'store', method: 'append', args: [{ ...batch, set }] }) as ReturnType<
        RecordStore['append']
      >;
    },
    watch(place, wake) {
      const callback = channel.nextId();
      channel.callbacks.set(callback, wake);
      const watching = channel.call({ part: 'store', method: 'watch', args: [place], callback }).catch(() => {});
      return () => {
        channel.callbacks.delete(callback);
        void watching
          .then(() => channel.call({ part: 'store', method: 'unwatch', args: [], callback }))
          .catch(() => {});
      };
    },
    localPartitions: () => {
      throw new Error('a remote engine does not know its local partitions');
    },
  };
}

function remoteGroups(channel: Channel): GroupStore {
  const plain = remotePart<GroupStore>(channel, 'groups', ['commit', 'committed']);
  return {
    ...plain,
    async join(group, topic, onChange): Promise<Membership> {
      const callback = channel.nextId();
      let assignments: readonly Assignment[] = [];
      channel.callbacks.set(callback, (value) => {
        assignments = value as readonly Assignment[];
        onChange(assignments);
      });
      const call = { part: 'groups', method: 'join', args: [group, topic], callback } as const;
      assignments = (await channel.call(call)) as readonly Assignment[];
      return {
        get assignments() {
          return assignments;
        },
        async leave() {
          await channel.call({ part: 'membership', method: 'leave', args: [], member: callback });
          assignments = [];
        },
      };
    },
  };
}
