/** The target `to: ./handlers.ts`: a function in a user's module. What a module may export is in handler-api.ts. */
import { TandemError } from '../../core/errors.ts';
import type { BatchHandler, Handler, HandlerContext, HandlerRecord } from '../handler-api.ts';
import type { Outcome, Target } from './target.ts';

export interface HandlerOptions {
  /** Of the consumer: the export looked for. */
  readonly name: string;
  readonly to: string;
  readonly loadModule: (path: string) => Promise<unknown>;
}

/** Errors: TANDEM_HANDLER_INVALID, with the file and, if the module itself failed, the line. */
export async function loadHandler(options: HandlerOptions): Promise<Target> {
  const { name, to, loadModule } = options;
  let module: unknown;
  try {
    module = await loadModule(to);
  } catch (cause) {
    throw new TandemError('TANDEM_HANDLER_INVALID', { detail: `consumer "${name}": ${describe(to, cause)}`, cause });
  }
  const exported = Object(module) as { readonly [name: string]: unknown };
  const found = Object.hasOwn(exported, name) ? name : 'default';
  const handler = exported[found];
  if (typeof handler === 'function') return targetOf(handler as Handler);
  if (isBatchHandler(handler)) return batchTargetOf(handler);
  const names = Object.keys(exported).join(', ') || 'nothing';
  const problem =
    handler === undefined
      ? `exports neither "${name}" nor default (it exports ${names})`
      : `exports "${found}", which is neither a function nor an object with a function "batch"`;
  throw new TandemError('TANDEM_HANDLER_INVALID', { detail: `consumer "${name}": ${to} ${problem}` });
}

const isBatchHandler = (value: unknown): value is BatchHandler =>
  typeof value === 'object' && value !== null && typeof (value as { batch?: unknown }).batch === 'function';

function targetOf(handler: Handler): Target {
  return {
    deliver: (record, context) => outcomeOf(handler(record, context)),
  };
}

function batchTargetOf(handler: BatchHandler): Target {
  const deliverBatch = (records: readonly HandlerRecord[], context: HandlerContext): Outcome | Promise<Outcome> =>
    outcomeOf(handler.batch(records, context));
  return { deliver: (record, context) => deliverBatch([record], context), deliverBatch };
}

/** What a handler returns says nothing, except that a thenable says when it is done. */
function outcomeOf(returned: unknown): Outcome | Promise<Outcome> {
  if (typeof returned !== 'object' && typeof returned !== 'function') return undefined;
  if (returned === null || typeof (returned as { then?: unknown }).then !== 'function') return undefined;
  return Promise.resolve(returned).then(done);
}

const done = (): Outcome => undefined;

/** A path and a line in a stack; not those of Node's own modules (`node:internal/…`). */
const PLACE = /(?<=^|[\s(]|file:\/\/)(\/[^\s:()]+|[A-Za-z]:[\\/][^\s:()]+):(\d+)/;

/** The message, and the place in a file if the stack names one: for a syntax error in plain JavaScript it does not. */
function describe(path: string, thrown: unknown): string {
  if (!(thrown instanceof Error)) return `${path}: threw ${typeof thrown}`;
  const place = PLACE.exec(thrown.stack ?? '');
  const problem = `${thrown.name}: ${thrown.message}`;
  if (place !== null) return `${place[1]}:${place[2]}: ${problem}`;
  return thrown instanceof SyntaxError ? `${path}: ${problem} ("node --check" shows the line)` : `${path}: ${problem}`;
}
