import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { type TestContext, test } from 'node:test';
import { until } from '../../src/core/testing/until.ts';
import { type Host, Hosts, noNamespaces } from './hosts.ts';

const lacking = noNamespaces();
const PORT = 7777;
const ECHO = `require('node:net').createServer((socket) => socket.pipe(socket)).listen(${PORT}, () => console.log('ready'))`;
const ASK_MS = 300;

/** Whether somebody on `from` gets an answer of the echo on `to`; from outside of all hosts without `from`. */
function isAnswered(to: Host, from?: Host): boolean {
  const ask = `const socket = require('node:net').connect(${PORT}, '${to.address}', () => socket.write('x'));
    socket.on('data', () => process.exit(0)).on('error', () => process.exit(1)); setTimeout(() => process.exit(1), ${ASK_MS})`;
  const [command = '', ...args] = [...(from?.launcher ?? []), process.execPath, '-e', ask];
  try {
    execFileSync(command, args);
    return true;
  } catch {
    return false;
  }
}

const partedHosts = async (t: TestContext): Promise<void> => {
  const hosts = Hosts.create(['x', 'y']);
  const [x, y] = [hosts.of('x'), hosts.of('y')];
  const [command = '', ...args] = [...y.launcher, process.execPath, '-e', ECHO];
  const echo = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(async () => {
    const exited = once(echo, 'exit');
    echo.kill('SIGKILL');
    await exited;
    hosts.remove();
    assert.ok(!existsSync(`/run/netns/td${process.pid}-x`) && !existsSync(`/sys/class/net/td${process.pid}`));
  });
  await once(echo.stdout, 'data');
  assert.ok(isAnswered(y, x) && isAnswered(y));
  for (const [from, to] of [
    ['x', 'y'],
    ['y', 'x'],
  ] as const) {
    hosts.part(from, to);
    assert.ok(!isAnswered(y, x), `${from} to ${to}`);
    assert.ok(isAnswered(y));
    hosts.join(from, to);
    assert.ok(isAnswered(y, x));
  }
  // An open connection stays open meanwhile, and goes on afterwards.
  const socket = connect(PORT, y.address);
  t.after(() => socket.destroy());
  let heard = '';
  socket.on('data', (data) => {
    heard += String(data);
  });
  socket.write('a');
  await until('it is answered', () => heard === 'a');
  hosts.part('y', 'x');
  socket.write('b');
  await until('those outside are answered all the same', () => heard === 'ab');
  hosts.joinAll();
  assert.equal(hosts.partings, 0);
};

if (lacking === undefined)
  test('hosts reach each other until they are parted, which those outside do not notice', partedHosts);
else
  test(`where there cannot be hosts, all is this one: ${lacking}`, () => {
    const hosts = Hosts.create(['x', 'y']);
    hosts.part('x', 'y');
    assert.deepEqual([hosts.canPart, hosts.partings, hosts.of('y').address], [false, 0, '127.0.0.1']);
  });
