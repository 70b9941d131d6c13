/** One load run in a process of its own: `node bench/load/load-main.ts '<json>'`, prints the result as JSON. */
import { type LoadOptions, runLoad } from './pipelined-load.ts';

type Requests = Pick<LoadOptions, 'request' | 'goodAnswer' | 'answerLines'>;

export interface LoadArguments extends Omit<LoadOptions, keyof Requests> {
  readonly protocol: 'lines' | 'rpush' | 'xadd';
  readonly recordBytes: number;
}

const RECORD_BYTE = 'r';

const command = (...words: readonly string[]): Buffer =>
  Buffer.from(`*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join('')}`);

const byteOf = (character: string): number => character.charCodeAt(0);

function requestsOf({ protocol, recordBytes }: LoadArguments): Requests {
  const record = RECORD_BYTE.repeat(recordBytes);
  switch (protocol) {
    case 'lines':
      return { request: Buffer.from(`${record}\n`), goodAnswer: byteOf('O'), answerLines: 1 };
    case 'rpush':
      return { request: command('RPUSH', 'q', record), goodAnswer: byteOf(':'), answerLines: 1 };
    case 'xadd':
      return { request: command('XADD', 'q', '*', 'd', record), goodAnswer: byteOf('$'), answerLines: 2 };
  }
}

const args = JSON.parse(process.argv[2] ?? '{}') as LoadArguments;
console.log(JSON.stringify(await runLoad({ ...args, ...requestsOf(args) })));
