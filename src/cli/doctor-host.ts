/** Checks of the machine: Node, ports, file descriptors. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { ListenConfig, TandemConfig } from '../config/tandem-config.ts';
import type { Check } from './doctor-data.ts';
import { request } from './server.ts';
import { countText } from './terminal.ts';

const NODE_MAJOR_MIN = 24;
/** Besides connections: journals, segments, sockets to the other workers, standard streams. */
const DESCRIPTORS_RESERVED = 512;

export function checkNode(version: string = process.versions.node): Check {
  const isNewEnough = Number(version.split('.')[0]) >= NODE_MAJOR_MIN;
  return {
    name: 'node',
    result: isNewEnough ? 'ok' : 'failed',
    finding: `Node ${version}`,
    advice: `Tandem needs Node ${NODE_MAJOR_MIN} or newer.`,
  };
}

type BoundAddress = Pick<ListenConfig, 'protocol' | 'url' | 'host' | 'port'>;

/** Free, or in use by a Tandem that is running with this config. */
export async function checkPorts(config: TandemConfig): Promise<Check[]> {
  const isRunning = await answersAsTandem(config);
  const { listen, admin } = config;
  const addresses: BoundAddress[] = [...listen, { ...admin, protocol: 'http' }];
  if (admin.agentCheck !== null) addresses.push({ ...admin.agentCheck, protocol: 'tcp', url: 'admin.agentCheck' });
  return Promise.all(addresses.map(async (address) => portCheck(address.url, await bindProblem(address), isRunning)));
}

function portCheck(url: string, problem: string | undefined, isRunning: boolean): Check {
  if (problem === undefined) return { name: 'address', result: 'ok', finding: `${url} is free` };
  if (problem === 'EADDRINUSE' && isRunning)
    return { name: 'address', result: 'ok', finding: `${url} is in use; Tandem is running` };
  return {
    name: 'address',
    result: 'failed',
    finding: `${url} cannot be bound: ${problem}`,
    advice:
      problem === 'EADDRINUSE'
        ? 'Stop the program that uses it, or choose another port under listen: or admin:.'
        : 'Choose an address of this machine; ports below 1024 need special rights.',
  };
}

async function answersAsTandem({ admin }: TandemConfig): Promise<boolean> {
  const host = admin.host.includes(':') ? `[${admin.host}]` : admin.host;
  const url = `${admin.tls === null ? 'http' : 'https'}://${host}:${admin.port}`;
  try {
    const response = await request({ url, token: undefined }, '/livez', { signal: AbortSignal.timeout(2000) }, [503]);
    const body = (await response.json()) as { role?: unknown };
    return body.role !== undefined;
  } catch {
    return false;
  }
}

/** The system's error code, or undefined if the address is free. */
async function bindProblem({ protocol, host, port }: BoundAddress): Promise<string | undefined> {
  try {
    if (protocol === 'udp') {
      const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
      try {
        socket.bind({ port, address: host, exclusive: true });
        await once(socket, 'listening');
      } finally {
        socket.close();
      }
    } else {
      const server = createServer();
      server.listen({ port, host, exclusive: true });
      await once(server, 'listening');
      server.close();
    }
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}

export function checkFileDescriptors(config: TandemConfig, limits: string = procLimits()): Check {
  const limit = /^Max open files\s+(\d+)/m.exec(limits)?.[1];
  if (limit === undefined) return { name: 'file descriptors', result: 'ok', finding: 'the limit is not known here' };
  const needed = config.limits.connectionsMax + DESCRIPTORS_RESERVED;
  return {
    name: 'file descriptors',
    result: Number(limit) >= needed ? 'ok' : 'warning',
    finding: `${countText(Number(limit))} per process`,
    advice: `limits.connectionsMax allows ${countText(config.limits.connectionsMax)} connections per worker: raise the limit to ${countText(needed)} (ulimit -n, LimitNOFILE=) or lower connectionsMax.`,
  };
}

function procLimits(): string {
  try {
    return readFileSync('/proc/self/limits', 'utf8');
  } catch {
    return '';
  }
}
