import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NodeFacts, PeerView } from '../core/contracts/cluster.ts';
import { PeerBook } from './peer-book.ts';

function view(name: string, lastHeardMs: number, over: Partial<NodeFacts> = {}): PeerView {
  const facts: NodeFacts = {
    ...{ serial: 1, name, holder: `${name}/1`, role: 'standby', term: 0, isReady: true, reason: '', adminUrl: '' },
    ...{ version: '1', sinceMs: 0, takeovers: [], ...over },
  };
  return { facts, lastHeardMs };
}

test('what a node said last counts, whichever connection brings it first', () => {
  const book = new PeerBook();
  assert.ok(book.heard(view('a', 10, { serial: 3, role: 'active', term: 4 })));
  assert.ok(!book.heard(view('a', 30, { serial: 2 })), 'old');
  assert.ok(!book.heard(view('a', 20, { serial: 3, role: 'active', term: 4 })), 'known');
  const [known] = book.all;
  assert.deepEqual([known?.facts.role, known?.lastHeardMs], ['active', 30]);
});

test('a new incarnation replaces the one before; what is left of that does not come back', () => {
  const book = new PeerBook();
  book.heard(view('a', 10, { serial: 9 }));
  assert.ok(book.heard(view('a', 20, { holder: 'a/2' })));
  assert.ok(!book.heard(view('a', 10, { serial: 9 })));
  book.lost('a', 'a/1');
  assert.deepEqual(
    book.all.map(({ facts, isLost }) => [facts.holder, isLost]),
    [['a/2', false]],
  );
  book.lost('a', 'a/2');
  assert.ok(book.heard(view('a', 20, { holder: 'a/3' })), 'heard in the same moment as the last of the dead one');
});

test('silence counts from the last sign of life, and from the last fresh start', () => {
  const book = new PeerBook();
  book.heard(view('a', 100));
  const [peer] = book.all;
  assert.ok(peer);
  assert.equal(book.silentMs(peer, 500), 400);
  book.freshStart(450);
  assert.equal(book.silentMs(peer, 500), 50);
  assert.deepEqual(book.holderSilence('a/1', 600), { silentMs: 150, isStranger: false });
  assert.deepEqual(book.holderSilence('z/1', 600), { silentMs: 0, isStranger: true });
  assert.deepEqual(book.holderSilence('z/1', 900), { silentMs: 300, isStranger: true });
  assert.deepEqual(book.holderSilence('z/2', 900), { silentMs: 0, isStranger: true });
});

test('ready standbys: the one ready longest first; lost, active and unready ones not', () => {
  const book = new PeerBook();
  book.heard(view('a', 10, { isReady: false }));
  book.heard(view('b', 20));
  book.heard(view('c', 15));
  book.heard(view('d', 5));
  book.heard(view('e', 1, { role: 'active', term: 1 }));
  book.heard(view('a', 30, { serial: 2 }));
  book.heard(view('c', 40, { serial: 2, reason: 'still ready' }));
  book.lost('d', 'd/1');
  assert.deepEqual(
    book.readyStandbys().map(({ facts }) => facts.name),
    ['c', 'b', 'a'],
  );
});

test('of two that say that they are active the one of the higher term is', () => {
  const book = new PeerBook();
  book.heard(view('a', 10, { role: 'active', term: 3 }));
  book.heard(view('b', 10, { role: 'active', term: 5 }));
  book.heard(view('c', 10, { role: 'active', term: 4 }));
  assert.equal(book.active()?.facts.name, 'b');
});

test('of many nodes that are gone the oldest are forgotten', () => {
  const book = new PeerBook();
  for (let index = 0; index < 200; index++) {
    book.heard(view(`n${index}`, index));
    book.lost(`n${index}`, `n${index}/1`);
  }
  assert.equal(book.all.length, 64);
  assert.equal(book.all[0]?.facts.name, 'n136');
});
