/** A demo where there is no terminal: one line per event and per second. */
import { countText } from '../terminal.ts';
import type { DemoView } from './demo-view.ts';
import { clock, msText } from './screen.ts';
import type { Fault } from './takeovers.ts';

export const faultText = ({ kind, node, fromTerm, atMs }: Fault): string =>
  `${clock(atMs)} ${kind} of ${node}, active under term ${fromTerm}`;

export function overText({ kind, node, toNode, toTerm, takeoverMs, pauseMs, problem, atMs }: Fault): string {
  const head = `${clock(atMs + (takeoverMs ?? 0))} ${kind} of ${node}:`;
  if (takeoverMs === null) return `${head} given up: ${problem ?? 'no reason'}`;
  return `${head} ${toNode ?? 'another node'} is active under term ${toTerm}, first ack after ${msText(takeoverMs)}, pause ${msText(pauseMs ?? 0)}`;
}

export function secondText(view: DemoView): string {
  const { elapsedMs, nodes, acked, delivered, phase, progress } = view;
  if (phase === 'starting') return `${clock(elapsedMs)} the nodes start`;
  if (phase === 'reading back')
    return `${clock(elapsedMs)} reading back ${countText(progress.done)} of ${countText(progress.total)}`;
  const states = nodes.map(({ name, state, term }) => `${name} ${state}${state === 'active' ? ` (term ${term})` : ''}`);
  return `${clock(elapsedMs)} ${states.join(', ')}; acked ${countText(acked.perSecond)}/s, delivered ${countText(delivered.perSecond)}/s`;
}
