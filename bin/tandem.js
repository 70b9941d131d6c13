#!/usr/bin/env node
// The launcher: plain JavaScript that every Node since 18 can run. In a checkout it runs src/ (Node strips the types), in an installed
// package dist/. On a Node older than 24 it starts the one that the development dependency `node` brings, if it is there.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const NODE_MAJOR_MIN = 24;
const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const source = join(root, 'src', 'cli', 'main.ts');
const entry = existsSync(source) ? source : join(root, 'dist', 'cli', 'main.js');

if (Number(process.versions.node.split('.')[0]) >= NODE_MAJOR_MIN) await import(pathToFileURL(entry).href);
else startWithNewerNode();

function startWithNewerNode() {
  const node = newerNode();
  if (node === undefined) {
    process.stderr.write(
      `tandem needs Node ${NODE_MAJOR_MIN} or newer; this is Node ${process.versions.node}.\n` +
        'In a checkout "npm ci" brings one along. Otherwise install it from https://nodejs.org, or add it to your project: npm install node@24\n',
    );
    process.exit(2);
  }
  // The channel tells the child when this process dies, even by kill -9.
  const child = spawn(node, [entry, ...process.argv.slice(2)], { stdio: ['inherit', 'inherit', 'inherit', 'ipc'] });
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'];
  const forward = (signal) => child.kill(signal);
  for (const signal of signals) process.on(signal, forward);
  child.on('error', (error) => {
    process.stderr.write(`tandem could not start ${node}: ${error.message}\n`);
    process.exit(1);
  });
  child.on('exit', (code, signal) => {
    for (const each of signals) process.off(each, forward);
    if (signal === null) process.exit(code ?? 1);
    process.kill(process.pid, signal);
  });
}

function newerNode() {
  try {
    const manifest = createRequire(join(root, 'package.json')).resolve('node/package.json');
    const { version } = JSON.parse(readFileSync(manifest, 'utf8'));
    const node = join(dirname(manifest), 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
    return Number(version.split('.')[0]) >= NODE_MAJOR_MIN && existsSync(node) ? node : undefined;
  } catch {
    return undefined;
  }
}
