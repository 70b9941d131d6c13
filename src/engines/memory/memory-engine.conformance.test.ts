import { openMemoryHarness } from '../conformance/memory-harness.ts';
import { runConformance } from '../conformance/run-conformance.ts';

runConformance('memory', openMemoryHarness);
