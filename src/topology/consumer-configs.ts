/** The config's consumers in the form that the consumers stage takes. */
import type { TandemConfig } from '../config/tandem-config.ts';
import { CONSUMER_DEFAULTS, type ConsumerConfig } from '../consumers/consumers.ts';

export function consumerConfigs(config: TandemConfig): ConsumerConfig[] {
  return config.consumers.map(({ target, ...consumer }) => ({
    ...CONSUMER_DEFAULTS,
    ...consumer,
    to: target.kind === 'handler' ? target.modulePath : target.url,
    ...(target.kind === 'webhook' && target.secret !== null ? { secret: target.secret } : {}),
  }));
}
