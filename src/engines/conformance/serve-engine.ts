/** The child's side: serves an engine to the test in the parent process until the channel closes. */
import type { Assignment, Engine, Membership } from '../../core/contracts/engine.ts';
import type { TopicPartition } from '../../core/record.ts';
import { type CallMessage, type ChildMessage, flatten } from './remote-messages.ts';

type Method = (...args: readonly unknown[]) => Promise<unknown>;

export function serveEngine(engine: Engine): void {
  const send = (message: ChildMessage): void => {
    if (process.connected) process.send?.(message);
  };
  const memberships = new Map<number, Membership>();
  const stops = new Map<number, () => void>();

  const join = async (call: CallMessage, callback: number): Promise<readonly Assignment[]> => {
    const [group, topic] = call.args as [string, string];
    const onChange = (value: readonly Assignment[]): void => send({ kind: 'callback', callback, value });
    const membership = await engine.groups.join(group, topic, onChange);
    memberships.set(callback, membership);
    return membership.assignments;
  };

  const run = async (call: CallMessage): Promise<unknown> => {
    const { part, method, args, callback = 0, member = 0 } = call;
    if (method === 'join') return join(call, callback);
    if (method === 'watch')
      return void stops.set(
        callback,
        engine.store.watch(args[0] as TopicPartition, () => send({ kind: 'callback', callback, value: undefined })),
      );
    if (method === 'unwatch') return stops.get(callback)?.();
    const target = part === 'engine' ? engine : part === 'membership' ? memberships.get(member) : engine[part];
    return (target as unknown as { readonly [method: string]: Method })[method]?.call(target, ...args);
  };

  process.on('message', (call: CallMessage) => {
    run(call).then(
      (value) => send({ kind: 'answer', id: call.id, value }),
      (error: unknown) => send({ kind: 'answer', id: call.id, error: flatten(error) }),
    );
  });
  // The test is gone: so is its engine.
  process.on('disconnect', () => process.exit());
  send({ kind: 'open', capabilities: engine.capabilities });
}
