/** What a load balancer in front of Tandem must know, whichever it is: from the nodes' configs, or from one config and the nodes' addresses. */
import type { ListenConfig, TandemConfig } from '../../config/tandem-config.ts';
import { TandemError } from '../../core/errors.ts';
import { isLoopback } from '../../core/loopback.ts';

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

export interface BalancedNode {
  readonly name: string;
  readonly admin: HostPort & { readonly isTls: boolean };
  /** null: it has none. */
  readonly agent: HostPort | null;
}

export interface BalancedListener {
  readonly listen: ListenConfig;
  /** For names in the configuration: `tcp_9501`. */
  readonly name: string;
  /** The load balancer's own port. */
  readonly port: number;
  /** In the order of the nodes. Nodes of one machine and one config have the same: the active one is there. */
  readonly targets: readonly HostPort[];
}

export interface BalancerPlan {
  /** The load balancer's own address; `*`: all. */
  readonly bindHost: string;
  readonly nodes: readonly BalancedNode[];
  readonly listeners: readonly BalancedListener[];
  readonly limits: TandemConfig['limits'];
}

export interface BalancerOptions {
  /** `[name=]http://host:port` of the nodes' admin; empty: as the configs say. With them there is one config. */
  readonly nodes: readonly string[];
  readonly bindHost: string;
  /** Added to the listeners' ports; undefined: nothing, or 10000 where the nodes are on this machine. */
  readonly portOffset: number | undefined;
}

const LOCAL_PORT_OFFSET = 10_000;
const PORT_MAX = 65_535;

interface Member {
  readonly node: BalancedNode;
  readonly listen: readonly (ListenConfig & { readonly target: HostPort })[];
}

/** Errors: TANDEM_CONFIG_INVALID. */
export function planBalancer(configs: readonly TandemConfig[], options: BalancerOptions): BalancerPlan {
  const [first] = configs;
  if (first === undefined) throw invalid('there is no config');
  if (options.nodes.length > 0 && configs.length > 1) throw invalid('--nodes goes with one --config');
  const members =
    options.nodes.length === 0 ? configs.map(ownMember) : options.nodes.map((text, i) => namedMember(first, text, i));
  checkAlike(members);
  const isLocal = members.some(({ listen }) => listen.some(({ target }) => isLoopback(target.host)));
  const portOffset = options.portOffset ?? (isLocal ? LOCAL_PORT_OFFSET : 0);
  const listeners = first.listen.map((listen, index) => {
    const port = listen.port + portOffset;
    if (port < 1 || port > PORT_MAX) throw invalid(`--offset makes port ${port} of ${listen.url}`);
    const targets = members.map((member) => (member.listen[index] as { target: HostPort }).target);
    return { listen, name: `${listen.protocol}_${listen.port}`, port, targets };
  });
  return { bindHost: options.bindHost, nodes: members.map(({ node }) => node), listeners, limits: first.limits };
}

/** A node as its own config has it. */
function ownMember({ name, listen, admin }: TandemConfig): Member {
  const host = reachable(admin.host, '127.0.0.1');
  const agent = admin.agentCheck && { host: reachable(admin.agentCheck.host, host), port: admin.agentCheck.port };
  return {
    node: { name, admin: { host, port: admin.port, isTls: admin.tls !== null }, agent },
    listen: listen.map((each) => ({ ...each, target: { host: reachable(each.host, host), port: each.port } })),
  };
}

/** A node like that of the config, with its admin elsewhere: on another machine, or on another port of this one. */
function namedMember({ listen, admin }: TandemConfig, text: string, index: number): Member {
  const [, name = `node-${index + 1}`, url = ''] =
    /^(?:([A-Za-z0-9][A-Za-z0-9._-]*)=)?(https?:\/\/.+)$/.exec(text) ?? [];
  if (!URL.canParse(url)) throw invalid(`--nodes: ${text} is not [NAME=]http://HOST:PORT`);
  const { hostname, port: portText, protocol } = new URL(url);
  const host = hostname.replace(/^\[|\]$/g, '');
  const isTls = protocol === 'https:';
  const port = Number(portText || (isTls ? 443 : 80));
  // Where the config's agent-check lies one above its admin port, every node's does.
  const agent = admin.agentCheck && { host, port: port + admin.agentCheck.port - admin.port };
  return {
    node: { name, admin: { host, port, isTls }, agent },
    listen: listen.map((each) => ({ ...each, target: { host: targetHost(each.host, host), port: each.port } })),
  };
}

/** On its own machine a node may serve under any address; from another only the one that names the machine leads there. */
const targetHost = (listenHost: string, nodeHost: string): string =>
  isLoopback(nodeHost) && isLoopback(listenHost) ? listenHost : nodeHost;

const reachable = (host: string, fallback: string): string => (host === '0.0.0.0' || host === '::' ? fallback : host);

function checkAlike(members: readonly Member[]): void {
  const kindOf = ({ listen }: Member): string =>
    JSON.stringify(
      listen.map(({ protocol, trustedProxies, ...each }) => [
        protocol,
        trustedProxies !== null,
        'topic' in each && each.topic,
      ]),
    );
  for (const member of members) {
    const { name } = member.node;
    const ports = [...member.listen.map(({ target }) => target.port), member.node.admin.port, member.node.agent?.port];
    const agentPort = member.node.agent?.port ?? 1;
    if (agentPort < 0 || agentPort > PORT_MAX)
      throw invalid(
        `${name} would have its agent-check on port ${agentPort}: as far from its admin port as in the config`,
      );
    if (ports.includes(0))
      throw invalid(`${name} has a listener or admin on port 0, which is another one at each start`);
    if (kindOf(member) !== kindOf(members[0] as Member))
      throw invalid(
        `${name} has other listeners than ${members[0]?.node.name}; all must have the same, in the same order`,
      );
    if (members.some((other) => other !== member && other.node.name === name))
      throw invalid(`two nodes have the name ${name}`);
  }
}

const invalid = (detail: string): TandemError => new TandemError('TANDEM_CONFIG_INVALID', { detail });

export const hostText = (host: string): string => (host.includes(':') ? `[${host}]` : host);
export const hostPortText = ({ host, port }: HostPort): string => `${hostText(host)}:${port}`;
