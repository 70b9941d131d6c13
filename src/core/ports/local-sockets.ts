/** Where the Unix domain sockets of the processes that share a data folder lie. */
import { createHash } from 'node:crypto';
import { chmodSync, lstatSync, mkdirSync, realpathSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TandemError } from '../errors.ts';

/** What a Unix domain socket's path may hold, with some room (Linux 107, macOS 103). */
const SOCKET_PATH_BYTES_MAX = 100;
/** The longest name that is given to a socket there. */
const SOCKET_NAME_MAX = 'keeper-0123456789abcdef.sock';

/** `<dataDir>/run`, or, where that is too long for a socket, a private folder named after it. Made if missing, for this user only. */
export function socketFolder(dataDir: string): string {
  const near = join(dataDir, 'run');
  const isShort = Buffer.byteLength(join(near, SOCKET_NAME_MAX)) <= SOCKET_PATH_BYTES_MAX;
  mkdirSync(near, { recursive: true, mode: 0o700 });
  const name = (): string => createHash('sha256').update(realpathSync(dataDir)).digest('hex').slice(0, 24);
  const folder = isShort ? near : join(tmpdir(), `tandem-${name()}`);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const { uid } = lstatSync(folder);
  if (process.getuid !== undefined && uid !== process.getuid())
    throw new TandemError('TANDEM_STORE_FAILED', { detail: `${folder} belongs to another user` });
  chmodSync(folder, 0o700);
  return folder;
}
