/** Who may reach a server that holds data, what our user may do there, and what becomes of connections that are silent. Pure. */
import type { DataServerFacts } from './ask-server.ts';
import { failed, isLoopback, notKnown, ok, type ServerCheck, warning } from './server-check.ts';

const PASSWORD_ADVICE =
  'Set a password (requirepass, or an ACL user) and write it into the URL, and let a firewall keep strangers off.';
/** The engine's connections ask more often than this whether the server lives. */
const TIMEOUT_S_MIN = 30;

export function checkAccess(facts: DataServerFacts): ServerCheck {
  const name = 'redis access';
  const { host, isOpen, isTls, settings } = facts;
  if (!isLoopback(host)) {
    if (isOpen)
      return failed(
        facts,
        name,
        'answers without a password over the network: whoever reaches it can read and delete everything',
        PASSWORD_ADVICE,
      );
    if (!isTls)
      return warning(
        facts,
        name,
        'asks for a password, but password and records cross the network in plain text',
        'TLS (rediss://, tls=true) unless the network is your own.',
      );
    return ok(facts, name, 'asks for a password, over TLS');
  }
  if (!isOpen) return ok(facts, name, 'asks for a password');
  const protectedMode = settings?.get('protected-mode');
  const bind = settings?.get('bind');
  if (protectedMode === undefined || bind === undefined)
    return notKnown(
      facts,
      name,
      'protected-mode and bind, and it answers without a password',
      'protected-mode should be yes.',
    );
  if (protectedMode === 'yes') return ok(facts, name, 'no password; protected-mode serves this machine only');
  const addresses = bind.split(' ').map((address) => address.replace(/^-/, ''));
  if (bind !== '' && addresses.every(isLoopback)) return ok(facts, name, `no password; bound to ${bind} only`);
  return warning(
    facts,
    name,
    `no password, protected-mode no, bind "${bind}": whoever reaches its port can read and delete everything`,
    PASSWORD_ADVICE,
  );
}

/** What our user lacks. */
export function checkRights(facts: DataServerFacts, username: string | undefined): ServerCheck {
  const name = 'redis rights';
  const { isAsked, names } = facts.missingRights;
  const user = username ?? 'default';
  if (!isAsked)
    return warning(
      facts,
      name,
      `not known: user ${user} may not run MULTI, with which this is asked`,
      'Allow it +multi +discard for this check.',
    );
  if (names.length === 0) return ok(facts, name, `user ${user} may do what is needed`);
  return failed(facts, name, `user ${user} lacks ${names.join(' ')}`, `ACL SETUSER ${user} ${names.join(' ')}`);
}

export function checkIdleConnections(facts: DataServerFacts): ServerCheck {
  const name = 'redis connections';
  const timeout = facts.settings?.get('timeout');
  const keepalive = facts.settings?.get('tcp-keepalive');
  if (timeout === undefined || keepalive === undefined)
    return notKnown(facts, name, 'timeout and tcp-keepalive', 'They should be 0 and 300 or less.');
  const finding = `timeout ${timeout}, tcp-keepalive ${keepalive}`;
  if (Number(timeout) > 0 && Number(timeout) < TIMEOUT_S_MIN)
    return warning(
      facts,
      name,
      `${finding}: idle connections are closed after ${timeout} s, and connecting anew costs latency`,
      'CONFIG SET timeout 0.',
    );
  if (keepalive === '0')
    return warning(
      facts,
      name,
      `${finding}: connections of machines that are gone are never closed, and count against maxclients`,
      'CONFIG SET tcp-keepalive 300.',
    );
  return ok(facts, name, finding);
}
