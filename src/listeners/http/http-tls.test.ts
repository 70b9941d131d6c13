import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:https';
import { test } from 'node:test';
import { createSecureContext } from 'node:tls';
import { WebSocket } from 'ws';
import { makeCertificate } from '../../core/testing/certificate.ts';
import { eventually, serveListener } from './served-listener.fixture.ts';

function post(port: number, ca: Buffer, body: string): Promise<{ status: number | undefined; text: string }> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { port, ca, host: 'localhost', path: '/topics/t', method: 'POST', agent: false },
      (response) => {
        response.setEncoding('utf8');
        let text = '';
        response.on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('end', () => resolve({ status: response.statusCode, text }));
      },
    );
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

test('HTTPS and WSS on one port; bytes that are no handshake disturb nobody', async (t) => {
  const { cert, key } = makeCertificate(t);
  const served = await serveListener(t, {
    listener: { secureContext: createSecureContext({ cert, key }) },
    limits: { headerTimeoutMs: 300 },
  });
  const [garbage, silent] = [served.dial(), served.dial()];
  garbage.socket.write('GET / HTTP/1.1\r\n\r\n');
  const { status, text } = await post(served.port, cert, 'x'.repeat(300_000));
  assert.equal(status, 201);
  assert.match(text, /"offset":0/);

  const client = new WebSocket(`wss://localhost:${served.port}/ws`, { ca: cert });
  await once(client, 'open');
  const messages: string[] = [];
  client.on('message', (data) => messages.push(String(data)));
  client.send(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'subscribe', params: { channel: 't', from: 'start' } }));
  await eventually(() => messages.length === 2);
  assert.match(messages[1] ?? '', /"method":"record".*"offset":0/);
  client.close();
  await Promise.all([garbage.untilEnd(), silent.untilEnd(), once(client, 'close')]);
  await eventually(() => served.listener.connections === 0);
});
