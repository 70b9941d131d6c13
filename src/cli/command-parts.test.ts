import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { loadConfig } from '../config/load.ts';
import { TandemError } from '../core/errors.ts';
import { checkFileDescriptors, checkNode } from './doctor-host.ts';
import { EXIT, exitCodeOf } from './exit-codes.ts';
import { readBatches } from './publish.ts';
import { bytesText, durationText, table } from './terminal.ts';

async function* chunks(...texts: readonly string[]): AsyncGenerator<Buffer> {
  for (const text of texts) yield Buffer.from(text);
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const collected: T[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}

test('standard input is cut at line feeds wherever the chunks end; the last line needs none', async () => {
  const batches = await all(readBatches(chunks('a\nb', 'c\n\n', 'd\ne')));
  assert.deepEqual(
    batches.flat().map((line) => line.toString()),
    ['a', 'bc', '', 'd', 'e'],
  );
  const many = await all(readBatches(chunks('x\n'.repeat(2500))));
  assert.deepEqual(
    many.map(({ length }) => length),
    [1000, 1000, 500],
  );
});

test('exit codes', () => {
  assert.equal(exitCodeOf(new TandemError('TANDEM_CONFIG_INVALID')), EXIT.usage);
  assert.equal(exitCodeOf(new TandemError('TANDEM_SERVER_UNREACHABLE')), EXIT.unreachable);
  assert.equal(exitCodeOf(new TandemError('TANDEM_AUTH_FORBIDDEN')), EXIT.forbidden);
  assert.equal(exitCodeOf(new TandemError('TANDEM_DISK_FULL')), EXIT.failed);
  assert.equal(exitCodeOf('anything'), EXIT.failed);
});

test('tables and units', () => {
  const lines = stripVTControlCharacters(
    table(
      ['name', 'lag'],
      [
        ['a', 5],
        ['long', 12],
      ],
    ),
  ).split('\n');
  assert.deepEqual(lines, ['name  lag', 'a       5', 'long   12']);
  assert.deepEqual(
    [bytesText(0), bytesText(1023), bytesText(1536), bytesText(5 * 1024 ** 4)],
    ['0 B', '1023 B', '1.5 KiB', '5.0 TiB'],
  );
  assert.deepEqual(
    [durationText(0.5), durationText(5), durationText(1500), durationText(300_000)],
    ['500 us', '5.0 ms', '1.5 s', '5 min'],
  );
});

test('doctor: an old Node and a low limit of file descriptors are found', () => {
  assert.equal(checkNode('24.15.0').result, 'ok');
  assert.equal(checkNode('22.1.0').result, 'failed');
  const config = loadConfig({ environment: {}, input: { limits: { connectionsMax: 1000 } } });
  assert.equal(
    checkFileDescriptors(config, 'Max open files            1024                 4096 files').result,
    'warning',
  );
  assert.equal(checkFileDescriptors(config, 'Max open files            1512                 4096 files').result, 'ok');
});
