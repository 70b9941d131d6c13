import { openEmbeddedHarness } from '../conformance/embedded-harness.ts';
import { runConformance } from '../conformance/run-conformance.ts';

runConformance('embedded', openEmbeddedHarness);
