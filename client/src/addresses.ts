/** Where nodes are, as their operators write it. */
import { clientError } from './errors.ts';

const DEFAULT_PATH = '/ws';

/** One address or several, in lists or separated by commas: ws, wss, http or https; without a path: /ws. Errors: TANDEM_CLIENT_INVALID. */
export function parseAddresses(given: string | readonly string[]): readonly string[] {
  const texts = (typeof given === 'string' ? [given] : given).flatMap((text) => text.split(','));
  const addresses = texts.map((text) => text.trim()).filter((text) => text !== '');
  if (addresses.length === 0) throw clientError('TANDEM_CLIENT_INVALID', 'no address given');
  return [...new Set(addresses.map(parseAddress))];
}

function parseAddress(text: string): string {
  if (!URL.canParse(text)) throw clientError('TANDEM_CLIENT_INVALID', `${text} is not a URL`);
  const url = new URL(text);
  if (!/^(ws|http)s?:$/.test(url.protocol))
    throw clientError('TANDEM_CLIENT_INVALID', `${text}: ws, wss, http and https are known`);
  const path = url.pathname === '/' ? DEFAULT_PATH : url.pathname;
  return `${url.protocol.replace('http', 'ws')}//${url.host}${path}${url.search}`;
}
