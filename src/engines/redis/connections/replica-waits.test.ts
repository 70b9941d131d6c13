import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../../core/testing/until.ts';
import { ReplicaWaits } from './replica-waits.ts';

/** Its server answers when told to. */
function openWaits() {
  const sent: string[] = [];
  const answers: ((replicas: number) => void)[] = [];
  let silences = 0;
  const waits = new ReplicaWaits({
    send: (command) => {
      sent.push(command.join(' '));
      return new Promise((resolve) => answers.push(resolve));
    },
    allowSilence: () => {
      silences++;
      return () => silences--;
    },
  });
  return { waits, sent, silences: () => silences, answer: (replicas: number) => answers.shift()?.(replicas) };
}

test('one WAIT at a time: who asks meanwhile shares the next', async () => {
  const { waits, sent, silences, answer } = openWaits();
  const first = [waits.wait(1, 1000), waits.wait(1, 1000)];
  await until('it is sent', () => sent.length === 1);
  const second = [waits.wait(1, 500), waits.wait(2, 1000), waits.wait(1, 400)];
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(sent, ['WAIT 1 1000']);
  answer(1);
  assert.deepEqual(await Promise.all(first), [1, 1]);
  await until('the next is sent', () => sent.length === 2);
  assert.equal(sent[1], 'WAIT 2 1000');
  assert.equal(silences(), 1);
  answer(2);
  assert.deepEqual(await Promise.all(second), [2, 2, 2]);
  assert.equal(silences(), 0);
});

test('while replicas are missing most are brief', async () => {
  const { waits, sent, answer } = openWaits();
  const wait = async (replicas: number): Promise<string | undefined> => {
    const answered = waits.wait(1, 100);
    await new Promise((resolve) => setImmediate(resolve));
    answer(replicas);
    assert.equal(await answered, replicas);
    return sent.at(-1);
  };
  assert.equal(await wait(1), 'WAIT 1 100');
  assert.equal(await wait(0), 'WAIT 1 100');
  assert.equal(await wait(0), 'WAIT 1 50');
  assert.equal(await wait(1), 'WAIT 1 50');
  assert.equal(await wait(0), 'WAIT 1 100', 'the replica is back');
  assert.equal(await wait(0), 'WAIT 1 50');
  // One whose answer takes longer than a brief WAIT is found too.
  await until('one of full length', async () => (await wait(0)) === 'WAIT 1 100');
});
