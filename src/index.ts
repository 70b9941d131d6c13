/**
 * What programs may import from the package: the forms of handler modules, records and errors. Everything else is inside and may change.
 *
 *   import type { Handler } from 'tandem';
 *   export const save: Handler = async (record) => { … };
 */
export type { BatchHandler, Handler, HandlerContext, HandlerRecord } from './consumers/handler-api.ts';
export { ERRORS, type ErrorCode, TandemError } from './core/errors.ts';
export type { RecordHeaders, TandemRecord } from './core/record.ts';
