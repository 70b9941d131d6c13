/** `/livez`: this process answers. `/readyz`: it should get traffic (200) or not (503). Body `{"role","term","reason"}`. No token needed. */
import { answerJson } from './answers.ts';
import type { HttpExchange } from './http-exchange.ts';

export function livez(exchange: HttpExchange): void {
  answerHealth(exchange, 200);
}

export function readyz(exchange: HttpExchange): void {
  const { hub } = exchange;
  answerHealth(exchange, hub.health().isReady && !hub.isDraining ? 200 : 503);
}

function answerHealth(exchange: HttpExchange, status: number): void {
  const { role, term, reason } = exchange.hub.health();
  answerJson(exchange, status, JSON.stringify({ role, term, reason: exchange.hub.isDraining ? 'draining' : reason }));
}
