/** One subscriber of the demo: follows the topic from its start, over as many connections as it takes, and keeps the book of what it got. */
import { connect, type TandemClient } from 'tandem-client';
import { RecordTally } from './record-tally.ts';

export interface SubscriberOptions {
  readonly name: string;
  readonly url: string;
  readonly topic: string;
  readonly sources: number;
  readonly onRecord: () => void;
  /** It follows no more. */
  readonly onEnded: (subscriber: string, problem: string) => void;
}

export class Subscriber {
  readonly name: string;
  readonly tally: RecordTally;
  /** Times that it was told that records were missed. */
  gaps = 0;
  readonly #client: TandemClient;

  constructor({ name, url, topic, sources, onRecord, onEnded }: SubscriberOptions) {
    this.name = name;
    this.tally = new RecordTally(sources);
    this.#client = connect({ addresses: url });
    const subscription = this.#client.subscribe(topic, {
      from: 'start',
      onRecord: ({ data, partition, offset }) => {
        this.tally.take(String(data), () => `${partition}:${offset}`);
        onRecord();
      },
      onGap: () => {
        this.gaps++;
      },
    });
    subscription.closed.catch((error: unknown) => onEnded(name, String(error)));
  }

  close(): Promise<void> {
    return this.#client.close();
  }
}
