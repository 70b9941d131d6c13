/** A certificate for this machine, made by openssl; signed by itself, so that it is its own CA too. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

export interface CertificateFiles {
  readonly certPath: string;
  readonly keyPath: string;
}

/** Removed with the test. */
export function makeCertificate(t: Pick<TestContext, 'after'>): CertificateFiles & { cert: Buffer; key: Buffer } {
  const folder = mkdtempSync(join(tmpdir(), 'tandem-tls-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const [keyPath, certPath] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
  execFileSync(
    'openssl',
    ['req', '-x509', '-nodes', '-days', '1', ...curve, '-keyout', keyPath, '-out', certPath, ...subject],
    { stdio: 'ignore' },
  );
  return { certPath, keyPath, cert: readFileSync(certPath), key: readFileSync(keyPath) };
}
