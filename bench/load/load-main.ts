/** One load run in a process of its own: `node bench/load/load-main.ts '<json>'`, prints the result as JSON. */
import { type LoadOptions, runLoad } from './pipelined-load.ts';

export interface LoadArguments extends Omit<LoadOptions, 'request' | 'goodAnswer'> {
  readonly protocol: 'lines' | 'rpush';
  readonly recordBytes: number;
}

const RECORD_BYTE = 'r';

function requestOf({ protocol, recordBytes }: LoadArguments): { request: Buffer; goodAnswer: number } {
  const record = RECORD_BYTE.repeat(recordBytes);
  if (protocol === 'lines') return { request: Buffer.from(`${record}\n`), goodAnswer: 'O'.charCodeAt(0) };
  const request = Buffer.from(`*3\r\n$5\r\nRPUSH\r\n$1\r\nq\r\n$${recordBytes}\r\n${record}\r\n`);
  return { request, goodAnswer: ':'.charCodeAt(0) };
}

const args = JSON.parse(process.argv[2] ?? '{}') as LoadArguments;
console.log(JSON.stringify(await runLoad({ ...args, ...requestOf(args) })));
