/**
 * Consumer groups: a member works on the partitions that its slot owns. Between processes nothing moves while the node runs; within a
 * process the first member of a group holds all of them and the next one follows when it leaves. Each time the partitions change
 * hands they get a new term, stored with the group, so that commits of whoever had them before are refused.
 */
import type { Assignment, CommittedOffset, GroupStore, Membership } from '../../core/contracts/engine.ts';
import { TandemError } from '../../core/errors.ts';
import { ownerSlot } from './ownership.ts';
import type { StateDatabase } from './state-database.ts';
import { asStoreErrors, inFencedTransaction } from './state-database.ts';
import type { StoredTopic, Topics } from './topics.ts';

interface Member {
  readonly group: string;
  readonly topic: string;
  readonly onChange: (assignments: readonly Assignment[]) => void;
  assignments: readonly Assignment[];
}

interface PendingCommit {
  readonly group: string;
  readonly topic: string;
  readonly offset: CommittedOffset;
  readonly term: number;
  readonly resolve: () => void;
  readonly reject: (error: TandemError) => void;
}

export class Groups implements GroupStore {
  readonly #state: StateDatabase;
  readonly #topics: Topics;
  readonly #slot: number;
  readonly #slots: number;
  /** By group and topic; the first member of each has the partitions. */
  readonly #members = new Map<string, Member[]>();
  readonly #stopListening: () => void;
  #commits: PendingCommit[] = [];
  #isClosed = false;

  constructor(state: StateDatabase, topics: Topics, slot: number, slots: number) {
    this.#state = state;
    this.#topics = topics;
    this.#slot = slot;
    this.#slots = slots;
    this.#stopListening = topics.onChange((topic) => this.#follow(topic));
  }

  async join(
    group: string,
    topic: string,
    onChange: (assignments: readonly Assignment[]) => void,
  ): Promise<Membership> {
    if (this.#isClosed) throw new TandemError('TANDEM_DRAINING');
    const info = this.#topics.lookUp(topic);
    if (info === undefined) throw new TandemError('TANDEM_TOPIC_UNKNOWN', { detail: topic });
    const key = memberKey(group, topic);
    const member: Member = { group, topic, onChange, assignments: [] };
    const members = this.#members.get(key) ?? [];
    if (members.length === 0) member.assignments = this.#assign(group, info, []);
    this.#members.set(key, [...members, member]);
    return {
      get assignments() {
        return member.assignments;
      },
      leave: async () => this.#leave(key, member),
    };
  }

  commit(group: string, topic: string, offset: CommittedOffset, term: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#commits.push({ group, topic, offset, term, resolve, reject });
      if (this.#commits.length === 1) queueMicrotask(() => this.#commitAll());
    });
  }

  async committed(group: string, topic: string): Promise<readonly CommittedOffset[]> {
    return asStoreErrors(() =>
      this.#state.relaxed
        .prepare(
          `SELECT partition, next_offset AS "offset", epoch FROM commits
           WHERE consumers = ? AND topic = ? AND next_offset IS NOT NULL ORDER BY partition`,
        )
        .all(group, topic)
        .map((row) => ({ ...row }) as unknown as CommittedOffset),
    );
  }

  /** Ends all memberships. */
  close(): void {
    this.#isClosed = true;
    this.#stopListening();
    for (const members of this.#members.values()) for (const member of members) member.assignments = [];
    this.#members.clear();
  }

  #leave(key: string, member: Member): void {
    const members = this.#members.get(key) ?? [];
    const index = members.indexOf(member);
    if (index < 0) return;
    const others = members.filter((other) => other !== member);
    member.assignments = [];
    if (others.length === 0) this.#members.delete(key);
    else this.#members.set(key, others);
    const next = others[0];
    const topic = this.#topics.lookUp(member.topic);
    if (index > 0 || next === undefined || topic === undefined) return;
    next.assignments = this.#assign(next.group, topic, []);
    next.onChange(next.assignments);
  }

  /** A topic has got more partitions. */
  #follow(topic: StoredTopic): void {
    for (const [holder] of this.#members.values()) {
      if (holder === undefined || holder.topic !== topic.name) continue;
      const before = holder.assignments;
      holder.assignments = this.#assign(holder.group, topic, before);
      if (holder.assignments.length > before.length) holder.onChange(holder.assignments);
    }
  }

  /** The slot's partitions; those not in `before` under a new term, which is durable at return. */
  #assign(group: string, topic: StoredTopic, before: readonly Assignment[]): readonly Assignment[] {
    const held = new Set(before.map(({ partition }) => partition));
    const added: number[] = [];
    for (let partition = 0; partition < topic.partitions; partition++) {
      const isOwn = ownerSlot(topic.name, topic.initialPartitions, partition, this.#slots) === this.#slot;
      if (isOwn && !held.has(partition)) added.push(partition);
    }
    if (added.length === 0) return before;
    const term = inFencedTransaction(this.#state, this.#state.durable, () => {
      const issued = this.#state.takeTerm();
      const upsert = this.#state.durable.prepare(
        `INSERT INTO commits (consumers, topic, partition, term) VALUES (?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET term = max(term, excluded.term)`,
      );
      for (const partition of added) upsert.run(group, topic.name, partition, issued);
      return issued;
    });
    return [...before, ...added.map((partition) => ({ partition, term }))];
  }

  /** The commits of a turn in one transaction; those with an older term are refused, the others stored. */
  #commitAll(): void {
    const commits = this.#commits;
    this.#commits = [];
    let fenced: Set<PendingCommit>;
    try {
      fenced = inFencedTransaction(this.#state, this.#state.relaxed, (claimed) => this.#store(commits, claimed));
    } catch (error) {
      for (const { reject } of commits) reject(error as TandemError);
      return;
    }
    for (const commit of commits) {
      if (fenced.has(commit)) commit.reject(new TandemError('TANDEM_TERM_FENCED'));
      else commit.resolve();
    }
  }

  #store(commits: readonly PendingCommit[], storeTerm: number): Set<PendingCommit> {
    const fenced = new Set<PendingCommit>();
    const claimed = this.#state.relaxed.prepare('SELECT term FROM partitions WHERE topic = ? AND partition = ?');
    const upsert = this.#state.relaxed.prepare(
      `INSERT INTO commits (consumers, topic, partition, next_offset, epoch, term) VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET next_offset = excluded.next_offset, epoch = excluded.epoch, term = excluded.term
       WHERE excluded.term >= commits.term`,
    );
    for (const commit of commits) {
      const { group, topic, term } = commit;
      const { partition, offset, epoch } = commit.offset;
      const row = claimed.get(topic, partition) as { term: number } | undefined;
      const isCurrent = term >= Math.max(row?.term ?? 0, storeTerm);
      if (!isCurrent || upsert.run(group, topic, partition, offset, epoch, term).changes === 0) fenced.add(commit);
    }
    return fenced;
  }
}

const memberKey = (group: string, topic: string): string => `${topic}/${group}`;
