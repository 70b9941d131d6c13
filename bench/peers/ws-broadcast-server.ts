/**
 * The peer of the push benches: the npm `ws` library's plain broadcast. Each line on the control port is sent to all clients with
 * `client.send(text)`. Run as a process: prints `{"port", "control"}` when it is ready.
 */
import { type AddressInfo, createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { WebSocketServer } from 'ws';

const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false, backlog: 4096 });
const control = createServer((socket) => {
  socket.setNoDelay(true);
  createInterface({ input: socket }).on('line', (line) => {
    for (const client of server.clients) client.send(line);
  });
});
server.on('listening', () => {
  control.listen(0, '127.0.0.1', () => {
    console.log(
      JSON.stringify({
        port: (server.address() as AddressInfo).port,
        control: (control.address() as AddressInfo).port,
      }),
    );
  });
});
