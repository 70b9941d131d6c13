import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bestClaim, parseClusterNodes } from './cluster-view.ts';

const ASKED = { host: 'asked', port: 1 };

const view = (isTls: boolean, ...lines: readonly string[]) => parseClusterNodes(`${lines.join('\n')}\n`, ASKED, isTls);

test('nodes, their roles, addresses, epochs and slots', () => {
  const nodes = view(
    false,
    'aa :7001@17001 myself,master - 0 0 3 connected 0-5460 7000 [93->-bb]',
    'bb 10.0.0.2:7002@17002,name.of.b master - 0 5 12 connected 5461-6999 [93-<-aa]',
    'cc fd00::3:7003@17003 slave aa 0 5 3 connected',
    'dd 10.0.0.4:7004@17004 master,fail - 0 5 2 disconnected',
    'ee :0@0 master,noaddr - 0 5 2 disconnected',
    'ff 10.0.0.6:7006@17006 handshake - 0 5 0 connected',
  );
  const shown = nodes.map(({ id, address, isMaster, isWell, configEpoch, slots }) =>
    [id, `${address.host} ${address.port}`, isMaster, isWell, configEpoch, JSON.stringify(slots)].join(' '),
  );
  assert.deepEqual(shown, [
    'aa asked 7001 true true 3 [[0,5460],[7000,7000]]',
    'bb 10.0.0.2 7002 true true 12 [[5461,6999]]',
    'cc fd00::3 7003 false true 3 []',
    'dd 10.0.0.4 7004 true false 2 []',
  ]);
  const [named] = view(true, 'bb 10.0.0.2:7002@17002,name.of.b master - 0 5 12 connected 1');
  assert.equal(named?.address.host, 'name.of.b');
});

test('of two that claim a slot the one with the higher epoch serves it, whoever tells first', () => {
  const behind = view(false, 'aa h:1@2 myself,master - 0 0 1 connected 0-9', 'bb h:2@3 slave aa 0 0 1 connected');
  const ahead = view(false, 'bb h:2@3 myself,master - 0 0 4 connected 0-9', 'aa h:1@2 master - 0 0 1 connected 10-11');
  for (const views of [
    [behind, ahead],
    [ahead, behind],
  ]) {
    assert.equal(bestClaim(views, 5)?.id, 'bb');
    assert.equal(bestClaim(views, 10)?.id, 'aa');
    assert.equal(bestClaim(views, 12), undefined);
  }
});
