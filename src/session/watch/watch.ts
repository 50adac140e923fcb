/** A handle on one watched address or range: ask its state, read its events, stop it. */
import { hex } from '../../core/address/va.ts';
import { PtmonError } from '../../core/error.ts';
import type { RangeWatchRequest, WatchRequest, WatchState } from '../../core/monitor/api.ts';
import type { MonitorEvent, Tag } from '../../core/monitor/events.ts';
import type { PageTableMonitor } from '../../core/monitor/page-table-monitor.ts';
import { carryOut } from '../../driver/carry-out.ts';
import { WatchEvents } from './watch-events.ts';
import { covers, type WatchedSpan } from './watched-span.ts';

/** Events that an iterator keeps for its reader. One takes some 300 bytes. */
const DEFAULT_MAX_UNREAD = 4096;

const PAGE_BYTES = 4096n;

/** One address, or with `byteLength` every page of a range. */
export type SessionWatchRequest = (WatchRequest | RangeWatchRequest) & {
  /** Events that an iterator of the watch keeps until they are read; defaults to 4096. */
  readonly maxUnread?: number;
};

export interface WatchParts {
  readonly monitor: PageTableMonitor;
  readonly span: WatchedSpan;
  readonly tag: Tag | undefined;
  readonly maxUnread: number | undefined;
  /** As `WatchEventsOptions.advance`. */
  readonly advance: () => void;
  readonly onListen: (events: WatchEvents) => void;
  readonly onUnlisten: (events: WatchEvents) => void;
  readonly onStop: (watch: Watch) => void;
}

/**
 * Retains its addresses until it is stopped or the session ends. `for await (const event of watch)` reads what happens from there on:
 * the session's events, as far as they are about this watch, a run of pages cut to fit.
 */
export class Watch implements AsyncIterable<MonitorEvent>, AsyncDisposable {
  readonly view: number;
  /** Physical address of the top-level table. */
  readonly root: number;
  /** The address; of a range, the first byte of its first page. */
  readonly va: bigint;
  /** 4 KiB pages of the range; undefined for one address. */
  readonly pages: number | undefined;
  readonly tag: Tag | undefined;
  readonly #parts: WatchParts;
  readonly #iterators = new Set<WatchEvents>();
  /** Pages of the range that a call of the monitor has released already, however often they are watched again. */
  readonly #releasedPages = new Set<bigint>();
  #isActive = true;

  /** @param parts a span that the monitor has just retained once @internal */
  constructor(parts: WatchParts) {
    this.#parts = parts;
    const { span, tag } = parts;
    this.view = span.view;
    this.root = span.root;
    this.va = span.va;
    this.pages = span.pages;
    this.tag = tag;
  }

  /** False once it was stopped, its root is gone, or the session has ended. */
  get isActive(): boolean {
    return this.#isActive;
  }

  /**
   * What the monitor knows of the watched address, or of one in the watched range (by default its first page). Undefined once the
   * watch is not active. Reads no memory.
   *
   * @throws PtmonError `bad-argument` for an address that this watch does not cover
   */
  state(va: number | bigint = this.va): WatchState | undefined {
    const wanted = BigInt(va);
    if (!covers(this.#parts.span, wanted)) {
      throw new PtmonError('bad-argument', `${hex(wanted)} is not an address of this watch, ${this.#name()}`, {
        va: wanted,
      });
    }
    if (!this.#isActive) return undefined;
    const page = this.pages === undefined ? wanted : wanted - (wanted % PAGE_BYTES);
    return this.#parts.monitor.state({ view: this.view, root: this.root, va: page });
  }

  /**
   * The events from this call on. Each iterator reads all of them; one that is left (`break`) or never begun keeps nothing. It ends
   * when the watch is stopped or the session ends, after what was unread.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<MonitorEvent> {
    const { span, maxUnread = DEFAULT_MAX_UNREAD, advance, onListen, onUnlisten } = this.#parts;
    const events = new WatchEvents({
      span,
      maxUnread,
      advance,
      onClose: () => {
        this.#iterators.delete(events);
        onUnlisten(events);
      },
    });
    if (this.#isActive) {
      this.#iterators.add(events);
      onListen(events);
    } else {
      events.end();
    }
    return events;
  }

  /**
   * Releases what this watch retains, and nothing else (rule R1): addresses that other watches or the monitor's callers retain stay
   * watched. Its iterators end. Call it while the guest is stopped, as any call that changes what is watched. Does nothing after the
   * first time.
   */
  async stop(): Promise<void> {
    if (!this.#isActive) return;
    // Nobody releases it a second time meanwhile.
    this.released();
    await this.#release();
    this.endIterators();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** The monitor retains nothing for this watch any more. Its iterators may still have to read what led to that. */
  released(): void {
    if (!this.#isActive) return;
    this.#isActive = false;
    this.#parts.onStop(this);
  }

  /** @param failure what ended the session; undefined where nothing failed */
  endIterators(failure?: unknown): void {
    for (const events of [...this.#iterators]) events.end(failure);
  }

  /** The monitor has released every reference of one address, by force. */
  forced(va: bigint): void {
    if (!covers(this.#parts.span, va)) return;
    if (this.pages === undefined) return this.released();
    if (va % PAGE_BYTES === 0n) this.#releasedPages.add(va);
    if (this.#releasedPages.size === this.pages) this.released();
  }

  async #release(): Promise<void> {
    const { monitor, tag } = this.#parts;
    const request = { view: this.view, root: this.root, ...(tag !== undefined && { tag }) };
    if (this.pages === undefined) {
      monitor.unmonitor({ ...request, va: this.va });
      return;
    }
    for (const { va, byteLength } of this.#retained(this.pages)) {
      await carryOut(monitor.unmonitorRangeInSteps({ ...request, va, byteLength }));
    }
  }

  /** The range without the pages that were released by force. */
  *#retained(pages: number): Generator<{ va: bigint; byteLength: bigint }> {
    const released = [...this.#releasedPages].sort((a, b) => (a < b ? -1 : 1));
    let start = this.va;
    for (const page of released) {
      if (page > start) yield { va: start, byteLength: page - start };
      start = page + PAGE_BYTES;
    }
    const end = this.va + BigInt(pages) * PAGE_BYTES;
    if (end > start) yield { va: start, byteLength: end - start };
  }

  #name(): string {
    if (this.pages === undefined) return hex(this.va);
    return `${hex(this.va)} to ${hex(this.va + BigInt(this.pages) * PAGE_BYTES - 1n)}`;
  }
}
