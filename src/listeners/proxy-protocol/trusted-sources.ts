/** Which addresses may say who their client is: the load balancers. */
import { BlockList, isIPv6 } from 'node:net';
import { TandemError } from '../../core/errors.ts';

/** Verdicts remembered; above, they are forgotten and asked for anew. A few load balancers send everything. */
const REMEMBERED_MAX = 1024;

export type TrustedSources = (address: string) => boolean;

/** `ranges`: addresses or CIDR ranges, already checked. An IPv4 range holds for the same addresses written as IPv6 (`::ffff:`) too. */
export function trustedSources(ranges: readonly string[]): TrustedSources {
  const list = new BlockList();
  for (const range of ranges) addRange(list, range);
  const verdicts = new Map<string, boolean>();
  return (address) => {
    const known = verdicts.get(address);
    if (known !== undefined) return known;
    // A link-local address comes with its zone (fe80::1%eth0).
    const [plain = ''] = address.split('%');
    const isTrusted = list.check(plain, isIPv6(plain) ? 'ipv6' : 'ipv4');
    if (verdicts.size >= REMEMBERED_MAX) verdicts.clear();
    verdicts.set(address, isTrusted);
    return isTrusted;
  };
}

function addRange(list: BlockList, range: string): void {
  const [address = '', bits] = range.split('/');
  const family = isIPv6(address) ? 'ipv6' : 'ipv4';
  try {
    if (bits === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(bits), family);
  } catch {
    throw new TandemError('TANDEM_CONFIG_INVALID', { detail: `trustedProxies: ${range} is not an address or range` });
  }
}
