import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { PushSession } from '../../core/contracts/push.ts';
import { TandemError } from '../../core/errors.ts';
import { parseNdjson } from '../http/ndjson.ts';
import { BATCH_REQUESTS_MAX } from './json-rpc.ts';
import { dispatch, type RpcMethod, type RpcMethods, type RpcPeer } from './rpc-call.ts';

class Peer implements RpcPeer {
  readonly identity = { name: 'somebody', may: () => true };
  readonly affinity = 1;
  readonly replies: string[] = [];
  callsInHand = 0;
  session(): PushSession {
    throw new TandemError('TANDEM_INTERNAL');
  }
  reply(text: string): void {
    this.replies.push(text);
  }
  flushReplies(): void {}
  callBegan(): void {
    this.callsInHand++;
  }
  callEnded(): void {
    this.callsInHand--;
  }
}

const methods: RpcMethods = new Map<string, RpcMethod>([
  ['echo', (call, params) => call.answer(JSON.stringify(params))],
  ['later', (call, params) => Promise.resolve().then(() => call.answer(JSON.stringify(params)))],
  ['fail', () => Promise.reject(new TandemError('TANDEM_DISK_FULL', { data: { freeBytes: 0 } }))],
  [
    'throw',
    () => {
      throw new TandemError('TANDEM_INPUT_MALFORMED', { detail: 'why' });
    },
  ],
]);

// biome-ignore lint/suspicious/noExplicitAny: answers of many forms
async function ask(text: string): Promise<any[]> {
  const peer = new Peer();
  dispatch(text, peer, methods);
  for (let turn = 0; turn < 10 && peer.callsInHand > 0; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(peer.callsInHand, 0);
  return peer.replies.map((reply) => JSON.parse(reply));
}

const request = (method: string, id?: unknown, params: unknown = { a: 1 }): string =>
  JSON.stringify({ jsonrpc: '2.0', method, params, id });

test('a request is answered once with its id; a notification never', async () => {
  for (const id of [1, 'x', 0, '', null, 1.5])
    assert.deepEqual(await ask(request('echo', id)), [{ jsonrpc: '2.0', id, result: { a: 1 } }]);
  for (const method of ['echo', 'fail', 'throw', 'none']) assert.deepEqual(await ask(request(method)), []);
  assert.deepEqual(await ask('{"jsonrpc":"2.0","method":"echo","id":1}'), [{ jsonrpc: '2.0', id: 1, result: {} }]);
});

test('errors have the numbers of JSON-RPC, the code and the hint', async () => {
  const numberOf = async (text: string): Promise<[number, unknown]> => {
    const [answer] = await ask(text);
    assert.equal(typeof answer.error.message, 'string');
    assert.match(answer.error.data.code, /^TANDEM_/);
    return [answer.error.code, answer.id];
  };
  assert.deepEqual(await numberOf('{"jsonrpc":'), [-32700, null]);
  assert.deepEqual(await numberOf('[]'), [-32600, null]);
  assert.deepEqual(await numberOf('5'), [-32600, null]);
  assert.deepEqual(await numberOf('{"jsonrpc":"1.0","method":"echo","id":3}'), [-32600, 3]);
  assert.deepEqual(await numberOf('{"jsonrpc":"2.0","method":5,"id":3}'), [-32600, 3]);
  assert.deepEqual(await numberOf('{"jsonrpc":"2.0","method":"echo","id":{}}'), [-32600, null]);
  assert.deepEqual(await numberOf('{"jsonrpc":"2.0","result":5,"id":3}'), [-32600, 3]);
  assert.deepEqual(await numberOf('{"jsonrpc":"2.0","method":"echo","params":"x","id":3}'), [-32600, 3]);
  assert.deepEqual(await numberOf('{"jsonrpc":"2.0","method":"echo","params":[1],"id":3}'), [-32602, 3]);
  assert.deepEqual(await numberOf(request('none', 4)), [-32601, 4]);
  assert.deepEqual(await numberOf(request('throw', 4)), [-32602, 4]);
  assert.deepEqual(await numberOf(request('fail', 4)), [-32040, 4]);
  assert.deepEqual(await numberOf(request('toString', 4)), [-32601, 4]);
  const [full] = await ask(request('fail', 4));
  assert.equal(full.error.data.freeBytes, 0);
});

test('a batch is answered in one array when its last request is; without answers not at all', async () => {
  const [answers, ...more] = await ask(
    `[${request('later', 1)},${request('echo')},5,${request('echo', 2)},${request('fail', 3)}]`,
  );
  assert.equal(more.length, 0);
  assert.deepEqual(
    new Map(answers.map((answer: { id: unknown; error?: { code: number } }) => [answer.id, answer.error?.code])),
    new Map([
      [null, -32600],
      [1, undefined],
      [2, undefined],
      [3, -32040],
    ]),
  );
  assert.deepEqual(await ask(`[${request('echo')},${request('later')}]`), []);
  const [tooMany] = await ask(`[${'1,'.repeat(BATCH_REQUESTS_MAX)}1]`);
  assert.equal(tooMany.error.code, -32600);
});

const anyRequest = fc.record(
  {
    jsonrpc: fc.constantFrom<unknown>('2.0', '2.0', '2.0', 2, null),
    id: fc.oneof(fc.string(), fc.integer(), fc.constant(null), fc.jsonValue()),
    method: fc.oneof(fc.constantFrom('echo', 'later', 'fail', 'throw', '__proto__'), fc.jsonValue()),
    params: fc.oneof(fc.dictionary(fc.string(), fc.jsonValue()), fc.jsonValue()),
  },
  { requiredKeys: [] },
);

test('fuzz: whatever comes, the answers are JSON-RPC, and there are as many as requests that want one', async () => {
  const message = fc.oneof(
    fc.string(),
    fc.json(),
    anyRequest.map((r) => JSON.stringify(r)),
    fc.array(anyRequest).map((r) => JSON.stringify(r)),
  );
  await fc.assert(
    fc.asyncProperty(message, async (text) => {
      const replies = await ask(text);
      assert.ok(replies.length <= 1);
      for (const answer of replies.flat()) {
        assert.equal(answer.jsonrpc, '2.0');
        assert.ok('id' in answer);
        assert.notEqual('result' in answer, 'error' in answer);
      }
    }),
    { numRuns: 500 },
  );
});

test('fuzz: an NDJSON body gives records or a TandemError', () => {
  const line = fc.oneof(
    fc.json(),
    fc.string(),
    fc
      .record(
        { data: fc.jsonValue(), base64: fc.jsonValue(), key: fc.jsonValue(), headers: fc.jsonValue() },
        { requiredKeys: [] },
      )
      .map((r) => JSON.stringify(r)),
  );
  const body = fc.oneof(
    fc.uint8Array().map((bytes) => Buffer.from(bytes)),
    fc.array(line).map((lines) => Buffer.from(lines.join('\n'))),
  );
  fc.assert(
    fc.property(body, (bytes) => {
      try {
        for (const { data, key } of parseNdjson(bytes, 5)) {
          assert.ok(Buffer.isBuffer(data));
          assert.ok(key === undefined || typeof key === 'string');
        }
      } catch (thrown) {
        if (!(thrown instanceof TandemError)) throw thrown;
        assert.ok(['TANDEM_INPUT_MALFORMED', 'TANDEM_BATCH_TOO_LARGE'].includes(thrown.code));
      }
    }),
    { numRuns: 1000 },
  );
});
