/** The library of Redis functions with which Tandem writes: assembled here, loaded by library-loader.ts. */
import { BASE_LUA } from './base.lua.ts';
import { CONSUMERS_LUA } from './consumers.lua.ts';
import { EPOCHS_LUA } from './epochs.lua.ts';
import { GROUPS_LUA } from './groups.lua.ts';
import { LEASES_LUA } from './leases.lua.ts';
import { PRODUCERS_LUA } from './producers.lua.ts';
import { RECORDS_LUA } from './records.lua.ts';
import { SHARDS_LUA } from './shards.lua.ts';
import { TOPICS_LUA } from './topics.lua.ts';

/** Of the wire form: what it stores can be read and written by everything that knows this name. */
export const LIBRARY_NAME = 'tandem1';

/**
 * Rises with every change of the code. A server that has a lower one, or none, gets this one; one that has a higher one keeps it, so that nodes of two
 * versions do not replace each other's. So functions may get more arguments at their end, and answers more elements, but never others.
 */
export const LIBRARY_REVISION = 3;

/** As FUNCTION LOAD takes it. */
export const LIBRARY_CODE: string = [
  `#!lua name=${LIBRARY_NAME}`,
  BASE_LUA,
  `register('revision', function() return ${LIBRARY_REVISION} end, 'no-writes', 'allow-oom', 'allow-stale')`,
  SHARDS_LUA,
  TOPICS_LUA,
  PRODUCERS_LUA,
  EPOCHS_LUA,
  RECORDS_LUA,
  LEASES_LUA,
  GROUPS_LUA,
  CONSUMERS_LUA,
].join('\n');
