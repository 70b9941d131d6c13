/**
 * Handlers for `tandem up --config examples/handlers.yaml`. A consumer calls the export of its own name, else the default export.
 * Returning (or resolving) means done; throwing means: try again, with back-off, and after `retry.attemptsMax` attempts keep the record as
 * a dead letter. The same record may come twice: use `record.id` to recognise it.
 */
import type { BatchHandler, Handler } from '../src/index.ts'; // 'tandem' in your project

/** Prints every record. Synchronous handlers are the fastest: hundreds of thousands of records a second. */
const print: Handler = (record) => {
  console.log(`${record.topic} ${record.partition}:${record.offset} ${record.key ?? '-'} ${record.text}`);
};
export default print;

interface Order {
  readonly id: string;
  readonly cents: number;
}

/** Hands orders on to another service, one at a time per customer (the key); `signal` ends the request at the time-out. */
export const orders: Handler = async (record, { signal, attempt }) => {
  const order = record.json() as Order;
  const response = await fetch(process.env['ORDERS_URL'] ?? 'http://127.0.0.1:8080/orders', {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': record.id },
    body: JSON.stringify({ ...order, attempt }),
    signal,
  });
  if (!response.ok) throw new Error(`the order service answered ${response.status}`);
};

/** Sums per customer, many records a call: what a database would take as one statement. */
export const totals: BatchHandler & { readonly centsByCustomer: Map<string, number> } = {
  centsByCustomer: new Map(),
  batch(records) {
    for (const record of records) {
      const customer = record.key ?? 'unknown';
      const { cents } = record.json() as Order;
      this.centsByCustomer.set(customer, (this.centsByCustomer.get(customer) ?? 0) + cents);
    }
  },
};
