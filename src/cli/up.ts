/** `tandem up`: runs a node in this process until a signal ends it, and says at the start where everything is. */
import { isAbsolute, relative } from 'node:path';
import type { Command } from 'commander';
import type { ConfigSources } from '../config/load.ts';
import type { ListenConfig, TandemConfig } from '../config/tandem-config.ts';
import type { NodeReady } from '../topology/keeper-main.ts';
import { action, DEFAULT_URL, type OutputOptions, withJson } from './options.ts';
import { out, printJson, styled } from './terminal.ts';
import { VERSION } from './version.ts';

interface UpOptions extends OutputOptions {
  readonly config?: string;
  readonly name?: string;
  readonly data?: string;
  readonly engine?: string;
  readonly listen?: readonly string[];
  readonly admin?: string;
  readonly workers?: string;
}

export function addUp(program: Command): void {
  withJson(program.command('up'))
    .description('run a node')
    .option('--config <file>', 'config file (default: tandem.yaml in this folder, if there is one)')
    .option('--name <node>', "the node's name")
    .option('--data <folder>', 'data folder')
    .option('--engine <engine>', 'embedded, memory or redis://…')
    .option('--listen <url...>', 'listeners, instead of those of the config')
    .option('--admin <url>', 'admin address')
    .option('--workers <count>', 'worker processes')
    .action(action(up));
}

async function up(options: UpOptions): Promise<number> {
  // Loaded here: no other command needs them, and they are most of what takes time to load.
  const { loadConfig } = await import('../config/load.ts');
  const { runNode } = await import('../topology/keeper-main.ts');
  const load = (): TandemConfig => loadConfig(sourcesOf(options));
  const config = load();
  return runNode({
    config,
    loadConfig: load,
    version: VERSION,
    onReady: (ready) => {
      if (options.json) printJson({ name: config.name, version: VERSION, data: config.dataFolder, ...ready });
      else out(summary(config, ready));
    },
  });
}

function sourcesOf({ config, name, data, engine, listen, admin, workers }: UpOptions): ConfigSources {
  const count = workers === undefined || !/^\d+$/.test(workers) ? workers : Number(workers);
  return { configPath: config, flags: { name, data, engine, listen, admin, 'workers.count': count } };
}

/** What a newcomer needs: where it listens, where the data is, how to send the first record. */
function summary(config: TandemConfig, { role, listeners, adminPort, activeName }: NodeReady): string {
  if (role === 'standby') return standbySummary(config, adminPort, activeName);
  const addresses = config.listen.map((listen, index) => addressLine(listen, listeners[index]?.port ?? listen.port));
  const admin = hostText(config.admin.host, adminPort);
  return [
    `${styled('bold', `Tandem ${VERSION}`)}  node ${config.name}, ${config.workers.count} ${config.workers.count === 1 ? 'worker' : 'workers'}`,
    '',
    ...addresses,
    ...config.sources.map(({ place, topic }) => line('list', place.url, `taken from, to ${topic}`)),
    ...livePage(config, listeners),
    line('admin', `http${config.admin.tls === null ? '' : 's'}://${admin}`, 'status, health, metrics'),
    ...storeLines(config),
    ...firstRecord(config, listeners),
    '',
  ].join('\n');
}

function storeLines({ engine, dataFolder }: TandemConfig): string[] {
  switch (engine.kind) {
    case 'memory':
      return [line('data', 'in memory: lost when this process ends', '')];
    case 'embedded':
      return [line('data', shortPath(dataFolder), '')];
    case 'redis': {
      const spool = engine.ack === 'flushed' ? `spool in ${shortPath(dataFolder)}` : '';
      return [
        line('engine', engine.displayUrl, `ack: ${engine.ack}`),
        ...(spool === '' ? [] : [line('data', spool, '')]),
      ];
    }
  }
}

function standbySummary(config: TandemConfig, adminPort: number, activeName: string | null): string {
  const active = activeName === null ? '' : `: ${styled('bold', activeName)} is active`;
  return [
    `${styled('bold', `Tandem ${VERSION}`)}  node ${config.name}, standby${active}`,
    '',
    line(
      'admin',
      `http${config.admin.tls === null ? '' : 's'}://${hostText(config.admin.host, adminPort)}`,
      'status, health, metrics',
    ),
    ...storeLines(config),
    '',
    '  It takes over by itself when the active node dies or hangs.',
    '',
  ].join('\n');
}

/** Of the first listener that has it. */
function livePage({ listen }: TandemConfig, listeners: NodeReady['listeners']): string[] {
  const index = listen.findIndex(({ protocol }) => protocol === 'http');
  const http = listen[index];
  if (http?.protocol !== 'http') return [];
  const place = hostText(http.host, listeners[index]?.port ?? http.port);
  return [line('live', `http${http.tls === null ? '' : 's'}://${place}/`, 'live page: records as they arrive')];
}

const line = (name: string, value: string, note: string): string =>
  `  ${name.padEnd(6)} ${value}${note === '' ? '' : styled('dim', `  ${note}`)}`;

function addressLine(listen: ListenConfig, port: number): string {
  const place = hostText(listen.host, port);
  if (listen.protocol === 'http')
    return line('http', `http${listen.tls === null ? '' : 's'}://${place}`, 'HTTP, WebSocket, SSE');
  const form = listen.protocol === 'udp' ? 'datagrams' : listen.framing === 'line' ? 'lines' : 'length-framed';
  const tls = listen.protocol === 'tcp' && listen.tls !== null ? ', TLS' : '';
  return line(listen.protocol, place, `${form}${tls} to ${listen.topic}`);
}

/** From the current folder, if it lies in it. */
function shortPath(path: string): string {
  const fromHere = relative(process.cwd(), path);
  return fromHere === '' || fromHere.startsWith('..') || isAbsolute(fromHere) ? path : `./${fromHere}`;
}

const hostText = (host: string, port: number): string => `${host.includes(':') ? `[${host}]` : host}:${port}`;

/** Commands that work as they stand, where the config needs no token and no certificate. */
function firstRecord(config: TandemConfig, listeners: NodeReady['listeners']): string[] {
  if (config.auth.isRequired) return [];
  const placeOf = (fits: (listen: ListenConfig) => boolean): { host: string; port: number } | undefined => {
    const index = config.listen.findIndex(fits);
    const listen = config.listen[index];
    return listen && { host: listen.host, port: listeners[index]?.port ?? listen.port };
  };
  const tcp = placeOf((each) => each.protocol === 'tcp' && each.framing === 'line' && each.tls === null);
  const http = placeOf((each) => each.protocol === 'http' && each.tls === null);
  const topic = config.topics[0]?.name ?? 'data_queue';
  const url = http === undefined ? '' : `http://${hostText(http.host, http.port)}`;
  const commands = [
    ...(tcp === undefined ? [] : [`echo hello | nc -q1 ${tcp.host} ${tcp.port}`]),
    ...(http === undefined ? [] : [`curl -d hello ${url}/topics/${topic}`]),
    ...(http === undefined ? [] : [`npx tandem publish ${topic} hello${url === DEFAULT_URL ? '' : ` --url ${url}`}`]),
  ];
  if (commands.length === 0) return [];
  return ['', '  send a record, one of:', ...commands.map((command) => `    ${styled('cyan', command)}`)];
}
