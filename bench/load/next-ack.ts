/** How long a new client waits for its first ack. */
import { connect } from 'node:net';
import { pause, recordOf } from '../../chaos/producers/producer.ts';

const RETRY_MS = 1;
/** A connection that a hung server has accepted. */
const SILENCE_MS = 100;

/** From now on, with a new connection for each try. */
export async function nextAckMs(port: number): Promise<number> {
  const startedMs = performance.now();
  while (!(await isAcked(port))) await pause(RETRY_MS);
  return performance.now() - startedMs;
}

function isAcked(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(`${recordOf('probe')}\n`));
    const end = (isAck: boolean): void => {
      socket.destroy();
      resolve(isAck);
    };
    socket.once('data', (answer) => end(answer.toString().startsWith('OK ')));
    socket.once('error', () => end(false));
    socket.once('close', () => end(false));
    socket.setTimeout(SILENCE_MS, () => end(false));
  });
}
