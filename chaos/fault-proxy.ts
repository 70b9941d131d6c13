/** Opens a bad network before a port of this machine: what it can do is in fault-proxy/link-faults.ts. */
import type { FaultProxy, FaultProxyOptions } from './fault-proxy/link-faults.ts';
import { TcpFaultProxy } from './fault-proxy/tcp-fault-proxy.ts';
import { UdpFaultProxy } from './fault-proxy/udp-fault-proxy.ts';

export function openFaultProxy(transport: 'tcp' | 'udp', options: FaultProxyOptions): Promise<FaultProxy> {
  return transport === 'tcp' ? TcpFaultProxy.open(options) : UdpFaultProxy.open(options);
}
