/**
 * A configuration for NGINX (1.18 or newer, with the stream module) in front of Tandem's nodes: TCP and UDP as streams, HTTP with SSE and
 * WebSocket. The free NGINX has no health checks of its own: it learns that a node is no longer active by being refused, and tries the next.
 */
import type { Limits } from '../../core/limits.ts';
import { type BalancedListener, type BalancerPlan, hostPortText } from './balancer-plan.ts';

const GRACE_MS = 10_000;
const NEVER_MS = 24 * 3600 * 1000;

export function nginxConfig(plan: BalancerPlan): string {
  const streams = plan.listeners.filter((listener) => !isHttp(listener));
  const https = plan.listeners.filter(isHttp);
  const blocks = [
    HEAD,
    ...(streams.length === 0
      ? []
      : [
          block(
            'stream',
            streams.map((each) => streamOf(plan, each)),
          ),
        ]),
    ...(https.length === 0 ? [] : [block('http', [HTTP_HEAD, ...https.map((each) => httpOf(plan, each))])]),
  ];
  return `${blocks.join('\n\n')}\n`;
}

/** What needs the PROXY protocol, or has its TLS in the nodes, goes through as a stream: NGINX sends PROXY headers on nothing else. */
const isHttp = ({ listen }: BalancedListener): boolean =>
  listen.protocol === 'http' && listen.tls === null && listen.trustedProxies === null;

const HEAD = `# NGINX before Tandem. Made by "tandem lb nginx"; check it with "nginx -t -c FILE".
# Debian and Ubuntu have the stream module in a package of its own: libnginx-mod-stream.
include /etc/nginx/modules-enabled/*.conf;

# max_fails=0 below: a standby refuses connections, and so does an active node that has died. Who was refused would otherwise be left out
# for up to 2 s (fail_timeout counts in whole seconds), just when it becomes active.

events {
    worker_connections 8192;
}`;

const HTTP_HEAD = `access_log off;
map $http_upgrade $tandem_connection {
    default upgrade;
    '' '';
}`;

function upstreamOf({ name, targets }: BalancedListener): string {
  // Nodes of one machine and one config are at one address: whoever is active has it.
  const servers = [...new Set(targets.map(hostPortText))].map((target) => `server ${target} max_fails=0;`);
  return block(`upstream tandem_${name}`, servers);
}

function streamOf(plan: BalancerPlan, listener: BalancedListener): string {
  const { listen, name } = listener;
  const isUdp = listen.protocol === 'udp';
  const isTls = listen.protocol !== 'udp' && listen.tls !== null;
  const lines = [
    `listen ${bindText(plan, listener)}${isUdp ? ' udp' : ''};`,
    ...(isTls ? ['# TLS goes through: the nodes have the certificate.'] : []),
    `proxy_pass tandem_${name};`,
    'proxy_connect_timeout 1s;',
    ...(isUdp ? udpLines(listen.ack === 'offset') : [`proxy_timeout ${idleText(plan.limits)};`]),
    ...(listen.trustedProxies === null ? [] : proxyLines(isUdp)),
  ];
  return `# ${listen.url}\n${upstreamOf(listener)}\n${block('server', lines)}`;
}

/** `isAnswered`: the listener says ack=offset. */
function udpLines(isAnswered: boolean): string[] {
  const answered = [
    '# Each datagram is answered, so one that is not shows within a second that its node is gone.',
    'proxy_responses 1;',
    'proxy_timeout 1s;',
  ];
  const silent = [
    '# The listener answers nothing (ack=none), so NGINX cannot see whether a node takes the datagrams: those that go to a standby are',
    '# lost. With ack=offset in its URL they are answered; then use proxy_responses 1.',
    'proxy_responses 0;',
    'proxy_timeout 1s;',
  ];
  return isAnswered ? answered : silent;
}

const proxyLines = (isUdp: boolean): string[] => [
  'proxy_protocol on;',
  ...(isUdp ? ['# One datagram per session, so that each has its header.', 'proxy_requests 1;'] : []),
];

function httpOf(plan: BalancerPlan, listener: BalancedListener): string {
  const { listen, name } = listener;
  const { limits } = plan;
  const location = [
    `proxy_pass http://tandem_${name};`,
    'proxy_connect_timeout 1s;',
    `proxy_read_timeout ${idleText(limits)};`,
    `proxy_send_timeout ${idleText(limits)};`,
    '# Tried at the next node: what was refused, and GET also what a node that is ending answers. A POST that was sent is not sent again;',
    '# where every client publishes with Tandem-Producer and Tandem-Sequence, add non_idempotent.',
    'proxy_next_upstream error timeout http_502 http_503 http_504;',
    'proxy_next_upstream_timeout 5s;',
    '# WebSocket.',
    'proxy_http_version 1.1;',
    'proxy_set_header Host $http_host;',
    'proxy_set_header Upgrade $http_upgrade;',
    'proxy_set_header Connection $tandem_connection;',
    '# SSE: each event at once.',
    'proxy_buffering off;',
  ];
  const lines = [
    `listen ${bindText(plan, listener)};`,
    `client_max_body_size ${limits.requestBytesMax};`,
    block('location /', location),
  ];
  return `# ${listen.url}\n${upstreamOf(listener)}\n${block('server', lines)}`;
}

const bindText = ({ bindHost }: BalancerPlan, { port }: BalancedListener): string =>
  hostPortText({ host: bindHost, port });

const idleText = ({ idleTimeoutMs }: Limits): string =>
  `${idleTimeoutMs === 0 ? NEVER_MS : idleTimeoutMs + GRACE_MS}ms`;

const INDENT = '    ';

function block(name: string, lines: readonly string[]): string {
  const inner = lines.flatMap((line) => line.split('\n')).map((line) => `${INDENT}${line}`);
  return [`${name} {`, ...inner, '}'].join('\n');
}
