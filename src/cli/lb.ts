/** `tandem lb haproxy|nginx`: prints a configuration for a load balancer before the nodes. */
import type { Command } from 'commander';
import { TandemError } from '../core/errors.ts';
import { planBalancer } from './load-balancer/balancer-plan.ts';
import { haproxyConfig } from './load-balancer/haproxy.ts';
import { nginxConfig } from './load-balancer/nginx.ts';
import { action, type OutputOptions, withJson } from './options.ts';
import { out, printJson } from './terminal.ts';

interface LbOptions extends OutputOptions {
  readonly config?: readonly string[];
  readonly nodes?: string;
  readonly bind: string;
  readonly offset?: string;
}

const WRITERS = { haproxy: haproxyConfig, nginx: nginxConfig } as const;

export function addLb(program: Command): void {
  const lb = program.command('lb').description('print a configuration for a load balancer before the nodes');
  for (const balancer of ['haproxy', 'nginx'] as const)
    withJson(lb.command(balancer))
      .description(
        `for ${balancer === 'nginx' ? 'NGINX: TCP, UDP, HTTP and WebSocket' : 'HAProxy: TCP, HTTP and WebSocket'}`,
      )
      .option('--config <file...>', "the nodes' configs; with --nodes, the one that they share (default: tandem.yaml)")
      .option('--nodes <urls>', 'admin addresses of the nodes: [NAME=]http://HOST:PORT, separated by commas')
      .option('--bind <host>', 'address of the load balancer itself', '*')
      .option(
        '--offset <n>',
        'what is added to the ports of the listeners (default: 0; 10000 if the nodes are on loopback)',
      )
      .action(action(async (options: LbOptions) => print(balancer, options)));
}

async function print(
  balancer: keyof typeof WRITERS,
  { config = [], nodes, bind, offset, json }: LbOptions,
): Promise<void> {
  const { loadConfig } = await import('../config/load.ts');
  const files = config.length === 0 ? [undefined] : config;
  const configs = files.map((configPath) => loadConfig({ configPath }));
  const plan = planBalancer(configs, {
    nodes: (nodes ?? '').split(',').filter((text) => text !== ''),
    bindHost: bind,
    portOffset: offset === undefined ? undefined : offsetOf(offset),
  });
  const text = WRITERS[balancer](plan);
  if (json) printJson({ balancer, config: text });
  else out(text.trimEnd());
}

function offsetOf(text: string): number {
  if (/^-?\d{1,5}$/.test(text)) return Number(text);
  throw new TandemError('TANDEM_CONFIG_INVALID', { detail: `--offset: ${text} is not a number of ports` });
}
