/**
 * Requests of one client on their way to methods, and their answers on the way back.
 * A single request is answered as soon as its method answers; a batch in one array when the last of its requests has been answered.
 */
import type { Identity } from '../../core/contracts/auth.ts';
import type { PushSession } from '../../core/contracts/push.ts';
import { asTandemError, TandemError } from '../../core/errors.ts';
import { errorAnswer, parseRpc, type RpcId, type RpcParams, type RpcRequest, resultAnswer } from './json-rpc.ts';

/** The client, as methods see it. */
export interface RpcPeer {
  readonly identity: Identity;
  /** Records with the same affinity keep their order. */
  readonly affinity: number;
  /** Its push session, opened at first use. */
  session(): PushSession;
  /** Sends a message with others of this turn in one piece. */
  reply(text: string): void;
  /** Sends what `reply` gathered, now. */
  flushReplies(): void;
  /** A request waits for its method. */
  callBegan(): void;
  callEnded(): void;
}

/** Answers the call, now or later, or throws a TandemError. */
export type RpcMethod = (call: RpcCall, params: RpcParams) => Promise<void> | void;
export type RpcMethods = ReadonlyMap<string, RpcMethod>;

export class RpcCall {
  readonly peer: RpcPeer;
  readonly #id: RpcId | undefined;
  readonly #batch: RpcBatch | undefined;
  #isAnswered = false;

  constructor(peer: RpcPeer, id: RpcId | undefined, batch: RpcBatch | undefined) {
    this.peer = peer;
    this.#id = id;
    this.#batch = batch;
    peer.callBegan();
  }

  get isBatched(): boolean {
    return this.#batch !== undefined;
  }

  answer(resultJson: string): void {
    this.#settle(this.#id === undefined ? undefined : resultAnswer(this.#id, resultJson));
  }

  refuse(error: TandemError): void {
    this.#settle(this.#id === undefined ? undefined : errorAnswer(this.#id, error));
  }

  #settle(text: string | undefined): void {
    if (this.#isAnswered) return;
    this.#isAnswered = true;
    if (this.#batch !== undefined) this.#batch.settle(text);
    else if (text !== undefined) this.peer.reply(text);
    this.peer.callEnded();
  }
}

class RpcBatch {
  readonly #peer: RpcPeer;
  readonly #answers: string[] = [];
  #missing: number;

  constructor(peer: RpcPeer, requests: number) {
    this.#peer = peer;
    this.#missing = requests;
  }

  /** undefined: a notification is done. */
  settle(answer: string | undefined): void {
    if (answer !== undefined) this.#answers.push(answer);
    this.#missing--;
    if (this.#missing === 0 && this.#answers.length > 0) this.#peer.reply(`[${this.#answers.join(',')}]`);
  }
}

/** Runs what a message asks for. Never throws; every request gets exactly one answer, notifications none. */
export function dispatch(text: string, peer: RpcPeer, methods: RpcMethods): void {
  const { isBatch, entries } = parseRpc(text);
  const batch = isBatch ? new RpcBatch(peer, entries.length) : undefined;
  for (const entry of entries) {
    if (!('answer' in entry)) run(entry, new RpcCall(peer, entry.id, batch), methods);
    else if (batch !== undefined) batch.settle(entry.answer);
    else peer.reply(entry.answer);
  }
}

function run(request: RpcRequest, call: RpcCall, methods: RpcMethods): void {
  const method = methods.get(request.method);
  if (method === undefined) {
    call.refuse(new TandemError('TANDEM_METHOD_UNKNOWN', { detail: JSON.stringify(request.method.slice(0, 100)) }));
    return;
  }
  try {
    method(call, request.params)?.catch((thrown: unknown) => call.refuse(asTandemError(thrown)));
  } catch (thrown) {
    call.refuse(asTandemError(thrown));
  }
}
