/** A memory engine as the local log of a spool: it outlives the spools that are opened on it, as a disk does. */
import type { RecordStore } from '../../../core/contracts/engine.ts';
import type { Admission, SpoolLog } from '../../../core/contracts/spool-log.ts';
import type { MemoryStore } from '../../memory/memory-engine.ts';
import { type MemoryEngine, type MemoryEngineOptions, openMemoryEngine } from '../../memory/memory-engine.ts';

export interface MemorySpoolLog extends SpoolLog {
  readonly memory: MemoryEngine;
}

export function openMemorySpoolLog(options: MemoryEngineOptions & { readonly store: MemoryStore }): MemorySpoolLog {
  const memory = openMemoryEngine(options);
  const { store, shared } = memory;
  let admission: Admission = (_batch, append) => append();
  const admitting: RecordStore = {
    append: (batch) => admission(batch, () => store.append(batch)),
    read: (place, from, bytesMax) => store.read(place, from, bytesMax),
    state: (place) => store.state(place),
    watch: (place, wake) => store.watch(place, wake),
    trim: (place, offset) => store.trim(place, offset),
    lastSequence: (place, id) => store.lastSequence(place, id),
    originSequence: (place, id) => store.originSequence(place, id),
    claim: (place, term) => store.claim(place, term),
    localPartitions: (topic) => store.localPartitions(topic),
  };
  return {
    ...memory,
    memory,
    store: admitting,
    ownPartitions: (topic) => store.localPartitions(topic),
    get ownBytes() {
      let bytes = 0;
      for (const { name, partitions } of shared.listTopics())
        for (let partition = 0; partition < partitions; partition++)
          bytes += shared.partition({ topic: name, partition }).byteLength;
      return bytes;
    },
    admit(given) {
      admission = given;
    },
    applyRetention: async () => {},
  };
}
