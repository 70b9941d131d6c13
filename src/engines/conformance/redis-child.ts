/** A process with the Redis engine: `redis-child.ts <options as JSON>`. */
import { openRedisEngine } from '../redis/redis-engine.ts';
import { serveEngine } from './serve-engine.ts';

serveEngine(await openRedisEngine(JSON.parse(process.argv[2] ?? '{}')));
