/**
 * Binds the admin server. Nodes of one machine share a config, and the default address with it: where nobody wrote one, a node of a cluster
 * takes the next port that is free.
 */
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TandemConfig } from '../config/tandem-config.ts';
import { TandemError } from '../core/errors.ts';
import { bindProblem } from '../supervisor/address-bindings.ts';

const DEFAULT_PORTS = 20;

/** Resolves with the port. Errors: TANDEM_LISTEN_FAILED. */
export async function bindAdmin(server: Server, { admin, cluster }: TandemConfig): Promise<number> {
  const { host, port, url, isDefault } = admin;
  const ports = isDefault && cluster.mode !== 'single' ? DEFAULT_PORTS : 1;
  for (let i = 0; ; i++) {
    try {
      await once(server.listen({ host, port: port + i }), 'listening');
      return (server.address() as AddressInfo).port;
    } catch (error) {
      const isTaken = (error as NodeJS.ErrnoException).code === 'EADDRINUSE';
      if (isTaken && i + 1 < ports) continue;
      const problem = bindProblem(url, error);
      throw new TandemError('TANDEM_LISTEN_FAILED', { detail: problem, data: { problems: [problem] } });
    }
  }
}
