/** A Redis server as many run it: an append-only file, flushed every second; never rewritten, since no bench is about that. */
import { type StartedRedis, startRedis } from '../../src/core/testing/redis-servers/start-redis.ts';

const CONFIG = ['appendonly yes', 'appendfsync everysec', 'auto-aof-rewrite-percentage 0'];

export const startEverysecRedis = (): Promise<StartedRedis> => startRedis(undefined, { config: CONFIG });
