/** Counts the events of a trace by process, entry, address and time. */
import { hex } from '../../../core/address/va.ts';
import type { MonitorEvent } from '../../../core/monitor/events.ts';
import type { TraceInstant } from '../../../drivers/trace/index.ts';
import { entryName } from '../../../sinks/console/event-row.ts';
import { PageTally } from '../../output/page-tally.ts';
import { pagesOf } from '../../output/alike-row.ts';

const PAGE_BYTES = 4096n;
/** The pages of one event that are counted one by one. */
const MAX_PAGES = 1024;

export interface ChangedAddress {
  readonly va: string;
  readonly root: string;
  readonly tags: string;
  /** Its events. */
  events: number;
}

export class StatTally {
  readonly pages = new PageTally();
  readonly #addresses = new Map<string, ChangedAddress>();
  /** Events and writes, by millisecond. */
  readonly #events = new Map<number, number>();
  readonly #writes = new Map<number, number>();
  instants = 0;
  changes = { write: 0, compare: 0 };
  mostTables = 0;
  readonly #tables = new Set<number>();

  addInstant({ timeUs, state, steps }: TraceInstant): void {
    this.instants++;
    for (const record of state) {
      if (record.type === 'table') this.#tables.add(record.gfn);
      if (record.type === 'no-memory') this.#tables.delete(record.gfn);
      if (record.type === 'left') for (const gfn of record.gfns) this.#tables.delete(gfn);
      if (record.type === 'changes') this.changes[record.capture] += record.changes.length;
    }
    this.mostTables = Math.max(this.mostTables, this.#tables.size);
    const writes = steps.filter((step) => step.type === 'said' && step.said.kind === 'write').length;
    add(this.#writes, timeUs, writes);
  }

  addEvent(event: MonitorEvent, timeUs: number): void {
    this.pages.add(event, event.cause === null ? 'no entry' : entryName(event.cause.level));
    add(this.#events, timeUs, 1);
    if (event.kind === 'root-gone') return;
    for (let page = 0; page < Math.min(pagesOf(event), MAX_PAGES); page++) {
      this.#addAddress(event, event.va + BigInt(page) * PAGE_BYTES);
    }
  }

  /** The addresses with the most events. */
  mostChanged(count: number): ChangedAddress[] {
    return [...this.#addresses.values()].sort((a, b) => b.events - a.events).slice(0, count);
  }

  /** Rates per second in each of `count` equal parts of the time. */
  rates(of: 'events' | 'writes', count: number, endUs: number): number[] {
    const partMs = Math.max(1, endUs / 1000 / count);
    const parts = Array.from({ length: count }, () => 0);
    for (const [ms, sum] of of === 'events' ? this.#events : this.#writes) {
      const part = Math.min(count - 1, Math.floor(ms / partMs));
      parts[part] = parts[part]! + sum;
    }
    return parts.map((sum) => (sum * 1000) / partMs);
  }

  #addAddress({ root, tags }: MonitorEvent, va: bigint): void {
    const key = `${root} ${va}`;
    const known = this.#addresses.get(key);
    if (known === undefined) {
      this.#addresses.set(key, { va: hex(va), root: hex(root), tags: tags.join(' '), events: 1 });
    } else {
      known.events++;
    }
  }
}

function add(sums: Map<number, number>, timeUs: number, count: number): void {
  const ms = Math.floor(timeUs / 1000);
  if (count > 0) sums.set(ms, (sums.get(ms) ?? 0) + count);
}
