/** The config's consumers in the form that the consumers stage takes. */
import type { ConsumerTarget, TandemConfig } from '../config/tandem-config.ts';
import { CONSUMER_DEFAULTS, type ConsumerConfig } from '../consumers/consumers.ts';

export function consumerConfigs(config: TandemConfig): ConsumerConfig[] {
  return config.consumers.map(({ target, ...consumer }) => ({
    ...CONSUMER_DEFAULTS,
    ...consumer,
    ...placeOf(target),
  }));
}

function placeOf(target: ConsumerTarget): Pick<ConsumerConfig, 'to' | 'secret' | 'redisList'> {
  switch (target.kind) {
    case 'handler':
      return { to: target.modulePath };
    case 'webhook':
      return { to: target.url, ...(target.secret === null ? {} : { secret: target.secret }) };
    case 'redis-list':
      return { to: target.place.url, redisList: target.place };
  }
}
