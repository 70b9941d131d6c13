/**
 * Bearer tokens and their rights.
 *
 * Only SHA-256 digests are kept. A token is compared with all of them in constant time each, so that neither how much of it was right nor which
 * one it was shows in the time. No token stands in an error, a log or an identity.
 * A right on topics is an exact name, a prefix with a final `*`, or `*`. A right that is not granted is denied.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Authenticator, Identity, Right } from '../core/contracts/auth.ts';
import { TandemError } from '../core/errors.ts';

export interface TokenGrant {
  /** For logs. */
  readonly name: string;
  readonly token: string;
  /** Topic names or patterns with a final `*`. */
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
  readonly consume: readonly string[];
  readonly admin: boolean;
}

const EVERYBODY: Identity = { name: 'anonymous', may: () => true };

/** `isRequired` false: everybody may do everything, whatever token they show. */
export function createAuthenticator(auth: {
  readonly isRequired: boolean;
  readonly tokens: readonly TokenGrant[];
}): Authenticator {
  if (!auth.isRequired) return { isRequired: false, authenticate: () => EVERYBODY };
  const known = auth.tokens.map((grant) => ({ digest: digestOf(grant.token), identity: new TokenIdentity(grant) }));
  return {
    isRequired: true,
    authenticate(token) {
      if (token === undefined) throw new TandemError('TANDEM_AUTH_REQUIRED');
      const digest = digestOf(token);
      let found: Identity | undefined;
      // All are compared, also after a hit.
      for (const entry of known) if (timingSafeEqual(entry.digest, digest)) found = entry.identity;
      if (found === undefined) throw new TandemError('TANDEM_AUTH_INVALID');
      return found;
    },
  };
}

const digestOf = (token: string): Buffer => createHash('sha256').update(token, 'utf8').digest();

class TokenIdentity implements Identity {
  readonly name: string;
  readonly #topics: { readonly [right in Exclude<Right, 'admin'>]: TopicPatterns };
  readonly #isAdmin: boolean;

  constructor({ name, publish, subscribe, consume, admin }: TokenGrant) {
    this.name = name;
    this.#topics = {
      publish: new TopicPatterns(publish),
      subscribe: new TopicPatterns(subscribe),
      consume: new TopicPatterns(consume),
    };
    this.#isAdmin = admin;
  }

  may(right: Right, topic?: string): boolean {
    if (right === 'admin') return this.#isAdmin;
    return topic !== undefined && this.#topics[right].includes(topic);
  }
}

class TopicPatterns {
  readonly #names: ReadonlySet<string>;
  readonly #prefixes: readonly string[];

  constructor(patterns: readonly string[]) {
    this.#names = new Set(patterns.filter((pattern) => !pattern.endsWith('*')));
    this.#prefixes = patterns.filter((pattern) => pattern.endsWith('*')).map((pattern) => pattern.slice(0, -1));
  }

  includes(topic: string): boolean {
    return this.#names.has(topic) || this.#prefixes.some((prefix) => topic.startsWith(prefix));
  }
}
