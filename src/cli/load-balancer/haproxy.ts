/**
 * A configuration for HAProxy (2.4 or newer) in front of Tandem's nodes. Every choice that is not plain has its reason in the text that is
 * printed, since that is where people will read and change it. docs/load-balancing.md has the figures.
 */
import type { Limits } from '../../core/limits.ts';
import {
  type BalancedListener,
  type BalancedNode,
  type BalancerPlan,
  hostPortText,
  hostText,
} from './balancer-plan.ts';

/** Longer than the nodes' own time-out, so that a node decides and can say why. */
const GRACE_MS = 10_000;
/** Where nodes close no idle connection. */
const NEVER_MS = 24 * 3600 * 1000;

export function haproxyConfig(plan: BalancerPlan): string {
  const { listeners, nodes, limits } = plan;
  const hasAgent = nodes.some(({ agent }) => agent !== null);
  const sections = listeners.map((listener) =>
    listener.listen.protocol === 'udp' ? udpNote(listener) : section(plan, listener),
  );
  return `${[head(nodes.length), defaults(limits, hasAgent), ...sections].join('\n\n')}\n`;
}

const head = (
  nodeCount: number,
): string => `# HAProxy before ${nodeCount} Tandem ${nodeCount === 1 ? 'node' : 'nodes'}. Made by "tandem lb haproxy"; check it with "haproxy -c -f FILE".
# Only a node that should get traffic answers /readyz with 200: in active-standby that is the active one.`;

function defaults(limits: Limits, hasAgent: boolean): string {
  const agent = hasAgent
    ? `
    # The agent-check drains a node that is told to go, and sends less to one under pressure. If nobody answers it, HAProxy keeps what it
    # heard last: the check of /readyz sees that a node is dead.`
    : '';
  return `defaults
    # Also how long a connection waits before it is tried again: short, since the next node is there within milliseconds.
    timeout connect 200ms
    timeout client ${idleMs(limits)}ms
    timeout server ${idleMs(limits)}ms
    timeout check 1s
    retries 10
    option redispatch 1
    option httpchk
    http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host tandem
    http-check expect status 200${agent}
    # A node that is down has its connections cut: those of a node that hangs would wait for nothing.
    default-server inter 250ms fastinter 100ms downinter 100ms fall 2 rise 1 weight 100 on-marked-down shutdown-sessions`;
}

const idleMs = ({ idleTimeoutMs }: Limits): number => (idleTimeoutMs === 0 ? NEVER_MS : idleTimeoutMs + GRACE_MS);

function section(plan: BalancerPlan, listener: BalancedListener): string {
  const { listen, name, port, targets } = listener;
  const isHttp = listen.protocol === 'http' && listen.tls === null;
  const lines = [
    `listen tandem_${name}`,
    `    # ${listen.url}`,
    `    bind ${hostPortText({ host: plan.bindHost, port })}`,
    ...(isHttp ? httpLines(plan, listener) : tcpLines(listener)),
    ...targets.map((target, i) => `    ${serverLine(plan.nodes[i] as BalancedNode, hostPortText(target), listener)}`),
  ];
  return lines.join('\n');
}

function tcpLines({ listen }: BalancedListener): string[] {
  const isTls = listen.protocol !== 'udp' && listen.tls !== null;
  const note = isTls ? ['    # TLS goes through: the nodes have the certificate.'] : [];
  return [...note, '    mode tcp', '    balance leastconn'];
}

function httpLines({ limits }: BalancerPlan, { listen }: BalancedListener): string[] {
  const reuse = [
    '    # The header names the client of a connection, so a connection is for one client.',
    '    http-reuse never',
  ];
  return [
    '    mode http',
    '    balance roundrobin',
    `    timeout http-request ${limits.headerTimeoutMs}ms`,
    '    # WebSockets; the nodes ping them.',
    '    timeout tunnel 1h',
    '    # A request that was sent is not sent again. Where every client publishes with Tandem-Producer and Tandem-Sequence it can be:',
    '    # retry-on conn-failure empty-response',
    ...(listen.trustedProxies === null ? [] : reuse),
  ];
}

function serverLine({ name, admin, agent }: BalancedNode, target: string, { listen }: BalancedListener): string {
  const words = [
    ...['server', name, target, 'check', 'addr', hostText(admin.host), 'port', String(admin.port)],
    ...(admin.isTls ? ['check-ssl', 'verify', 'none'] : []),
    ...(agent === null
      ? []
      : ['agent-check', 'agent-addr', hostText(agent.host), 'agent-port', String(agent.port), 'agent-inter', '100ms']),
    ...(listen.trustedProxies === null ? [] : ['send-proxy-v2']),
  ];
  return words.join(' ');
}

const udpNote = ({ listen }: BalancedListener): string =>
  `# ${listen.url}\n# HAProxy has no UDP but for logs and QUIC: put "tandem lb nginx" before it.`;
