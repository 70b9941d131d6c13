/** One real server for a test. */
import { freePorts } from './free-ports.ts';
import { untilReplicasOnline } from './online-replicas.ts';
import { ServerGroup, type ServerOptions, type TestScope } from './server-group.ts';
import type { ServerProcess } from './server-process.ts';

export interface StartedRedis {
  readonly url: string;
  readonly server: ServerProcess;
  readonly servers: readonly ServerProcess[];
  /** Ends it and removes what it stored. Idempotent. */
  stop(): Promise<void>;
}

/** Ready when it resolves. With `replicas`, they are online then. With a test it ends with it; without one call `stop`. */
export async function startRedis(
  test?: TestScope,
  options: ServerOptions & { readonly replicas?: number } = {},
): Promise<StartedRedis> {
  const group = new ServerGroup(options, test);
  try {
    const [port = 0, ...replicaPorts] = await freePorts(1 + (options.replicas ?? 0));
    const server = await group.startServer({ index: 0, port });
    const replicas = await Promise.all(
      replicaPorts.map((replicaPort, i) =>
        group.startServer({ index: i + 1, port: replicaPort }, [`replicaof ${server.host} ${port}`]),
      ),
    );
    await untilReplicasOnline(server, replicas.length);
    const url = `${group.scheme}://${group.userInfo}${server.address}`;
    return { url, server, servers: [server, ...replicas], stop: () => group.stop() };
  } catch (error) {
    await group.stop();
    throw error;
  }
}
