/** Opens WebSocket clients and keeps them idle: prints `open` when all are there, ends when its input ends. */
import { type ClientsOptions, WebSocketClients } from './websocket-clients.ts';

const clients = new WebSocketClients(JSON.parse(process.argv[2] ?? '{}') as ClientsOptions);
await clients.open();
console.log('open');
process.stdin.resume();
process.stdin.once('end', () => process.exit(0));
