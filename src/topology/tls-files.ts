/** Certificates and keys from their files. */
import { readFileSync } from 'node:fs';
import { createSecureContext, type SecureContext } from 'node:tls';
import type { ListenConfig, TlsConfig } from '../config/tandem-config.ts';
import { TandemError } from '../core/errors.ts';

/** Reads certificates, so that a worker with a wrong one does not load. Errors: TANDEM_CONFIG_INVALID naming every file set that does not fit. */
export function loadSecureContexts(listen: readonly ListenConfig[]): (SecureContext | undefined)[] {
  const problems: string[] = [];
  const contexts = listen.map((each) => {
    if (each.protocol === 'udp' || each.tls === null) return undefined;
    try {
      return createSecureContext(readTls(each.tls));
    } catch (error) {
      problems.push(`${each.url}: tls: ${(error as Error).message}`);
      return undefined;
    }
  });
  if (problems.length > 0) throw new TandemError('TANDEM_CONFIG_INVALID', { detail: problems.join('; ') });
  return contexts;
}

export function readTls({ certPath, keyPath }: TlsConfig): { readonly cert: Buffer; readonly key: Buffer } {
  return { cert: readFileSync(certPath), key: readFileSync(keyPath) };
}
