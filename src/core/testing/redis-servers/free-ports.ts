/** Ports for servers that are killed and started again at the same place. */
import { createServer } from 'node:net';

// Below the range from which the kernel takes ports of outgoing connections: nobody takes a port while its server is away.
const FIRST = 15_000;
const COUNT = 17_000;
const given = new Set<number>();

/** `count` different ports on which nobody listens now; never one that was given before in this process. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) {
    const port = FIRST + Math.floor(Math.random() * COUNT);
    if (given.has(port) || !(await isFree(port))) continue;
    given.add(port);
    ports.push(port);
  }
  return ports;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
