/**
 * `tandem doctor` with Redis: asks the live servers for their settings and says what each means for the promise. Changes nothing, and gives up
 * on a server that does not answer within seconds.
 */
import { asTandemError } from '../../../core/errors.ts';
import type { RedisKind } from '../../../core/redis-url.ts';
import { type ParsedRedisUrl, parseRedisUrl, type RedisAddress } from '../../../core/redis-url.ts';
import { checkAccess, checkIdleConnections, checkRights } from './access-checks.ts';
import { askDataServer, type DataServerFacts, problemText, serverText } from './ask-server.ts';
import { checkCluster } from './cluster-checks.ts';
import { checkDurability, checkEviction, checkMemory, checkRole, checkVersion } from './data-server-checks.ts';
import { checkBacklog, checkBuffers, checkMinReplicas, checkReplicas } from './replication-checks.ts';
import { checkSentinels } from './sentinel-checks.ts';
import { type CheckedSetup, failed, ok, type ServerCheck, secondsText, warning } from './server-check.ts';

export async function* checkServers(urlText: string, setup: CheckedSetup): AsyncGenerator<ServerCheck> {
  let url: ParsedRedisUrl;
  try {
    url = parseRedisUrl(urlText);
  } catch (thrown) {
    const { message, hint } = asTandemError(thrown);
    yield failed({}, 'engine', message, hint);
    return;
  }
  yield checkAck(url, setup);
  yield* await checkLayout(url, setup);
}

async function checkLayout(url: ParsedRedisUrl, setup: CheckedSetup): Promise<AsyncIterable<ServerCheck>> {
  switch (url.kind) {
    case 'standalone':
      return checkDataServers(url, setup, url.addresses, 'master');
    case 'sentinel': {
      const { checks, master, replicas } = await checkSentinels(url, setup);
      return joined(
        checks,
        checkDataServers(url, setup, master === undefined ? [] : [master], 'master'),
        checkDataServers(url, setup, replicas, 'any'),
      );
    }
    case 'cluster': {
      const { checks, nodes } = await checkCluster(url, setup);
      return joined(checks, checkDataServers(url, setup, nodes, 'any'));
    }
  }
}

async function* joined(...parts: readonly (Iterable<ServerCheck> | AsyncIterable<ServerCheck>)[]) {
  for (const part of parts) yield* part;
}

/** What an acknowledgement is worth with servers like these. */
function checkAck({ kind, displayUrl }: ParsedRedisUrl, { ack, windowMs, replicas }: CheckedSetup): ServerCheck {
  const finding = `${displayUrl}, ack: ${ack}`;
  switch (ack) {
    case 'flushed':
      return ok(
        {},
        'engine',
        `${finding}: acknowledged from the disk of this machine; Redis gets it next, and again for ${secondsText(windowMs)} if a failover lost it`,
      );
    case 'replicated':
      return ok({}, 'engine', `${finding}: acknowledged when the master and ${replicas} of its replicas have it`);
    case 'stored':
      if (kind === 'standalone') return ok({}, 'engine', `${finding}: acknowledged when the server has it`);
      return warning(
        {},
        'engine',
        `${finding}: acknowledged when the master has it; a failover loses what no replica had by then`,
        'engine.ack: flushed (sent again by the spool), or replicated.',
      );
  }
}

async function* checkDataServers(
  url: ParsedRedisUrl,
  setup: CheckedSetup,
  addresses: readonly RedisAddress[],
  expected: 'master' | 'any',
): AsyncGenerator<ServerCheck> {
  for (const address of addresses) {
    try {
      yield* checksOf(await askDataServer(address, url), url, setup, expected);
    } catch (error) {
      const where = { server: serverText(address) };
      yield failed(where, 'redis', `cannot be asked: ${problemText(error)}`, adviceFor(problemText(error)));
    }
  }
}

function adviceFor(problem: string): string {
  if (/^(NOAUTH|WRONGPASS|ERR AUTH)/.test(problem))
    return 'Write user and password into the URL: redis://user:password@host:port, or engine: env:NAME.';
  if (problem.startsWith('DENIED')) return 'Set a password there, and write it into the URL.';
  if (problem.startsWith('NOPERM')) return 'Allow our user INFO (ACL: +info).';
  return 'Is it running, and does a firewall let this machine through? With ack: flushed records are taken meanwhile, until the spool is full.';
}

function* checksOf(facts: DataServerFacts, url: ParsedRedisUrl, setup: CheckedSetup, expected: 'master' | 'any') {
  const kind: RedisKind = url.kind;
  const checks = [
    checkVersion(facts),
    checkRole(facts, expected),
    checkEviction(facts),
    checkMemory(facts),
    checkDurability(facts, setup),
    checkReplicas(facts, kind, setup),
    checkMinReplicas(facts, kind, setup),
    checkBacklog(facts, kind),
    checkBuffers(facts),
    checkIdleConnections(facts),
    checkAccess(facts),
    checkRights(facts, url.credentials.username),
  ];
  for (const check of checks) if (check !== undefined) yield check;
}
