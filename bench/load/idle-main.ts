/** Opens WebSocket clients that only listen: prints `open` when all are there; when its input ends, how many deliveries they got, and ends. */
import { type ClientsOptions, WebSocketClients } from './websocket-clients.ts';

const clients = new WebSocketClients(JSON.parse(process.argv[2] ?? '{}') as ClientsOptions);
await clients.open();
console.log('open');
process.stdin.resume();
process.stdin.once('end', () => {
  console.log(clients.delivered);
  process.exit(0);
});
