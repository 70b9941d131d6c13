/** What the admin API and `GET /topics` and `GET /topics/:topic` answer, as far as the commands read it. */
export interface NodeReport {
  readonly name: string;
  readonly role: string;
  readonly term: number;
  readonly isReady: boolean;
  readonly reason: string;
  /** A standby whose workers are warm. */
  readonly canTakeOver: boolean;
  readonly engine: string | null;
  readonly uptimeMs: number;
  readonly pausedConsumers: readonly string[];
  readonly cluster: {
    readonly mode: string;
    readonly peers: readonly {
      readonly facts: {
        readonly name: string;
        readonly role: string;
        readonly term: number;
        readonly isReady: boolean;
        readonly reason: string;
        readonly adminUrl: string;
      };
      readonly silentMs: number;
    }[];
    readonly antiFlap: { readonly takeoversInWindow: number; readonly delayMs: number; readonly reason: string };
  };
  readonly listeners: readonly { readonly url: string; readonly host: string; readonly port: number }[];
  readonly fronts: NodeReport['slots'];
  readonly slots: readonly {
    readonly slot: number;
    readonly pid: number | null;
    readonly term: number;
    readonly state: string;
    readonly restarts: number;
    readonly connections: number;
    readonly sinceMs: number;
  }[];
}

export interface TopicSummary {
  readonly name: string;
  readonly partitions: number;
  readonly retentionMs: number | null;
  readonly retentionBytes: number | null;
}

export interface TopicReport extends TopicSummary {
  readonly state: readonly {
    readonly partition: number;
    readonly epoch: string;
    readonly firstOffset: number;
    readonly nextOffset: number;
  }[];
}

export interface ConsumerReport {
  readonly name: string;
  readonly topic: string;
  readonly to: string;
  readonly state: string;
  readonly lagRecords: number;
  readonly totals: { readonly [count: string]: number };
  readonly partitions: readonly {
    readonly partition: number;
    readonly state: string;
    readonly reason?: string;
    readonly committed: number | null;
    readonly nextOffset: number | null;
    readonly lagRecords: number | null;
  }[];
}
