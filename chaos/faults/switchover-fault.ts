/** A planned switchover, asked for at any node, while everything runs. */
import type { NodeUnderTest } from '../node-under-test.ts';
import { pause } from '../producers/producer.ts';
import { type Fault, type NodesWorld, pick, type World } from './fault.ts';
import { standbyOf } from './process-faults.ts';

const ANSWER_TIMEOUT_MS = 20_000;
/** So long after a node became active it refuses to switch over again. */
const TENURE_MS = 150;
const REFUSED = 409;
const AGAIN_MS = 200;

interface Report {
  readonly from: string;
  readonly to: string;
  readonly pauseMs: number;
  readonly recordsLost: number;
}

type SwitchoverWorld = NodesWorld & Pick<World, 'complain'>;

/** `patienceMs`: for so long it is asked again where it is refused: nodes may not yet have heard of each other all that each knows of itself. */
export async function switchOver(
  world: SwitchoverWorld,
  { choice, amount, isAlone }: Omit<Fault, 'name'>,
  patienceMs = 0,
): Promise<string> {
  const to = amount < 0.5 ? (standbyOf(world, choice)?.name ?? null) : null;
  const asked = pick(
    world.cluster.nodes.filter(({ isRunning }) => isRunning),
    choice,
  );
  if (asked === undefined) return 'nobody to ask';
  if (isAlone) await pause(TENURE_MS);
  const untilMs = performance.now() + patienceMs;
  try {
    let { status, text } = await ask(asked, to);
    while (isAlone && status === REFUSED && performance.now() < untilMs) {
      await pause(AGAIN_MS);
      ({ status, text } = await ask(asked, to));
    }
    if (status !== 200) {
      if (isAlone) world.complain(`SWITCHOVER: refused with HTTP ${status} ${text}`);
      return `refused: ${text}`;
    }
    const { from, to: became, pauseMs, recordsLost } = JSON.parse(text) as Report;
    if (recordsLost !== 0) world.complain(`SWITCHOVER: it says that ${recordsLost} records were lost`);
    return `${from} to ${became}, pause ${Math.round(pauseMs)} ms`;
  } catch (error) {
    if (isAlone) world.complain(`SWITCHOVER: no answer: ${String(error)}`);
    return `no answer: ${String(error)}`;
  }
}

async function ask(node: NodeUnderTest, to: string | null): Promise<{ status: number; text: string }> {
  const response = await fetch(`${node.adminUrl}/admin/v1/switchover`, {
    method: 'POST',
    body: JSON.stringify(to === null ? {} : { to }),
    signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
  });
  return { status: response.status, text: (await response.text()).trim() };
}
