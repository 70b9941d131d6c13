/** Server memory per idle WebSocket connection: growth of the resident set of the server process over 10,000 connections, against `ws`. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { atMost, type Bench } from './measure.ts';
import { startWsPeer } from './peers/ws-peer.ts';
import { discard, startTandem } from './tandem-server.ts';

const IDLE_MAIN = fileURLToPath(new URL('./load/idle-main.ts', import.meta.url));
const CONNECTIONS = 10_000;
/** A few connections first: what is loaded and compiled at the first ones is not counted. */
const WARM_UP_CONNECTIONS = 200;
const SETTLE_MS = 5000;
const BYTES_MAX = 8 * 1024;

export const idleBench: Bench = async (say) => {
  say(`${CONNECTIONS} idle WebSocket connections`);
  const node = await startTandem(1);
  // The worker is the child of the keeper that grows; the spare does not.
  const ours = await bytesPerConnection(node.ports.http, '/ws', () =>
    Math.max(...node.workerPids().map(residentBytes)),
  );
  await discard(node);
  const peer = await startWsPeer();
  const theirs = await bytesPerConnection(peer.port, '/', () => residentBytes(peer.pid));
  peer.stop();
  const name = `memory per idle WebSocket connection at ${CONNECTIONS}`;
  return [
    {
      name,
      unit: 'bytes',
      value: ours,
      peer: { name: 'ws', value: theirs },
      ratio: ours / theirs,
      bound: atMost(ours, BYTES_MAX, 'bytes'),
    },
  ];
};

async function bytesPerConnection(port: number, path: string, resident: () => number): Promise<number> {
  const warmUp = await openIdle(port, path, WARM_UP_CONNECTIONS);
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  const before = resident();
  const clients = await openIdle(port, path, CONNECTIONS);
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  const after = resident();
  for (const child of [warmUp, clients]) child.kill('SIGKILL');
  return (after - before) / CONNECTIONS;
}

async function openIdle(port: number, path: string, clients: number): Promise<ChildProcess> {
  const child = spawn(process.execPath, [IDLE_MAIN, JSON.stringify({ port, path, clients, answers: 0 })], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  return child;
}

function residentBytes(pid: number): number {
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(match?.[1]) * 1024;
}
