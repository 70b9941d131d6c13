/** The guard changes nothing that the suite can see: an engine that keeps the laws keeps them behind it. */
import { openMembers } from './conformance/memory-harness.ts';
import { runConformance } from './conformance/run-conformance.ts';
import { guardEngine } from './guarded-engine.ts';

runConformance('memory-guarded', () => openMembers(guardEngine));
