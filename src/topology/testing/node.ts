/** A whole node for tests: `node node.ts <config file>`. */
import { loadConfig } from '../../config/load.ts';
import { runNode } from '../keeper-main.ts';

const configPath = process.argv[2] as string;
const load = () => loadConfig({ configPath, environment: {} });
try {
  process.exit(await runNode({ config: load(), loadConfig: load, version: 'test' }));
} catch (error) {
  const { code, message, hint } = error as { code?: string; message: string; hint?: string };
  console.log(JSON.stringify({ event: 'start_failed', code, problem: message, hint }));
  process.exit(1);
}
