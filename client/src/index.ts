/**
 * tandem-client: publish to and follow a Tandem node or several, from Node (22 or newer) and browsers.
 *
 *   const client = connect({ addresses: ['ws://10.0.0.1:9500', 'ws://10.0.0.2:9500'] });
 *   const { partition, offset } = await client.publish('orders', 'hello', { key: 'customer 7' });
 *   for await (const record of client.subscribe('orders', { from: 'start' })) console.log(record.data);
 */
import type { ClientOptions, TandemClient } from './api.ts';
import { ConnectedClient } from './connected-client.ts';

export type {
  AckLevel,
  ClientOptions,
  ClientState,
  CloseOptions,
  Gap,
  PublishOptions,
  PublishReceipt,
  ReceivedRecord,
  SubscribeOptions,
  Subscription,
  SubscriptionState,
  TandemClient,
} from './api.ts';
export { CLIENT_ERRORS, type ClientErrorCode, TandemClientError } from './errors.ts';

/** Begins to connect; nothing has to be waited for. Errors: TANDEM_CLIENT_INVALID. */
export const connect = (options: ClientOptions): TandemClient => new ConnectedClient(options);
