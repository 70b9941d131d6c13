/**
 * Hosts for a drill: network namespaces of this machine, joined by a bridge, so that each has an address of its own and any two can be parted
 * while everybody else, the drill's clients too, reaches both. Where that is not possible (not root, no `ip`), everything runs on loopback and
 * nothing can be parted.
 *
 * A parting is a permanent neighbour entry with an address that nobody has: what is sent there vanishes without a word, connections stay open,
 * and each direction is parted by itself.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { type ServerHost, THIS_HOST } from '../../src/core/testing/redis-servers/server-process.ts';

const NOBODY = '02:00:00:00:00:01';
const NAME_PREFIX = 'td';

export interface Host extends ServerHost {
  readonly name: string;
}

export class Hosts {
  readonly #hosts = new Map<string, Host>();
  readonly #bridge: string | undefined;
  /** `from to` of those of which nothing arrives. */
  readonly #parted = new Set<string>();

  /** Of these names. Falls back to loopback if there is a reason why not. */
  static create(names: readonly string[]): Hosts {
    if (noNamespaces() !== undefined) return new Hosts(names, undefined);
    removeLeftovers();
    return new Hosts(names, process.pid);
  }

  private constructor(names: readonly string[], id: number | undefined) {
    if (id === undefined) {
      for (const name of names) this.#hosts.set(name, { name, ...THIS_HOST });
      return;
    }
    const net = `10.${64 + (id % 128)}.${(id >> 7) % 256}`;
    this.#bridge = `${NAME_PREFIX}${id}`;
    run(`link add ${this.#bridge} type bridge`);
    run(`addr add ${net}.1/24 dev ${this.#bridge}`);
    run(`link set ${this.#bridge} up`);
    for (const [i, name] of names.entries()) {
      const space = `${this.#bridge}-${name}`;
      const address = `${net}.${10 + i}`;
      const end = `${NAME_PREFIX}${id}v${i}`;
      run(`netns add ${space}`);
      run(`link add ${end} type veth peer name eth0 netns ${space}`);
      run(`link set ${end} master ${this.#bridge} up`);
      run(`-n ${space} addr add ${address}/24 dev eth0`);
      run(`-n ${space} link set lo up`);
      run(`-n ${space} link set eth0 up`);
      this.#hosts.set(name, { name, address, launcher: ['nsenter', `--net=/run/netns/${space}`] });
    }
  }

  get canPart(): boolean {
    return this.#bridge !== undefined;
  }

  of(name: string): Host {
    const host = this.#hosts.get(name);
    if (host === undefined) throw new RangeError(`no host ${name}`);
    return host;
  }

  get partings(): number {
    return this.#parted.size;
  }

  /** Nothing that `from` sends reaches `to`. */
  part(from: string, to: string): void {
    if (this.#bridge === undefined || this.#parted.has(`${from} ${to}`)) return;
    this.#parted.add(`${from} ${to}`);
    run(`-n ${this.#bridge}-${from} neigh replace ${this.of(to).address} lladdr ${NOBODY} dev eth0 nud permanent`);
  }

  join(from: string, to: string): void {
    if (!this.#parted.delete(`${from} ${to}`)) return;
    run(`-n ${this.#bridge}-${from} neigh del ${this.of(to).address} dev eth0`);
  }

  joinAll(): void {
    for (const pair of [...this.#parted]) this.join(...(pair.split(' ') as [string, string]));
  }

  /** Whatever still runs there keeps the namespace alive, without a name. Idempotent. */
  remove(): void {
    if (this.#bridge !== undefined) removeNetwork(this.#bridge);
  }
}

let why: string | undefined | null = null;

/** Why there cannot be hosts here; undefined: there can. */
export function noNamespaces(): string | undefined {
  why ??= tryNamespace();
  return why === '' ? undefined : why;
}

function tryNamespace(): string {
  const name = `${NAME_PREFIX}${process.pid}-try`;
  try {
    run(`netns add ${name}`);
    run(`-n ${name} link add eth0 type bridge`);
    return '';
  } catch (error) {
    return `no network namespaces: ${String(error).split('\n')[0]}`;
  } finally {
    quietly(`netns del ${name}`);
  }
}

/** Of drills that were killed. */
function removeLeftovers(): void {
  const bridges = new Set(readdirSync('/sys/class/net').flatMap((name) => /^td(\d+)$/.exec(name)?.[0] ?? []));
  for (const bridge of bridges) if (!isProcess(bridge.slice(NAME_PREFIX.length))) removeNetwork(bridge);
}

function removeNetwork(bridge: string): void {
  for (const name of namesOf('/run/netns')) if (name.startsWith(`${bridge}-`)) quietly(`netns del ${name}`);
  for (const name of namesOf('/sys/class/net')) if (name.startsWith(`${bridge}v`)) quietly(`link del ${name}`);
  quietly(`link del ${bridge}`);
}

function namesOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

const isProcess = (pid: string): boolean => namesOf('/proc').includes(pid);

const run = (args: string): unknown => execFileSync('ip', args.split(' '), { stdio: ['ignore', 'ignore', 'pipe'] });

function quietly(args: string): void {
  try {
    run(args);
  } catch {
    // It is not there.
  }
}
