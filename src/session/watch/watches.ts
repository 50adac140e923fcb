/** The watches of one session: who reads events, and what the monitor releases without being asked by them. */
import { checkNames, PtmonError } from '../../core/error.ts';
import type { MonitorEvent } from '../../core/monitor/events.ts';
import type { PageTableMonitor } from '../../core/monitor/page-table-monitor.ts';
import { rootOf } from '../../core/paging/format.ts';
import type { WatchCall } from '../../driver/watch-calls.ts';
import { carryOut } from '../../driver/carry-out.ts';
import { type SessionWatchRequest, Watch } from './watch.ts';
import type { WatchEvents } from './watch-events.ts';
import { isRange, spanOf } from './watched-span.ts';

export class Watches {
  readonly #advance: () => void;
  /** The active ones, by root. */
  readonly #active = new Map<number, Set<Watch>>();
  readonly #listening = new Set<WatchEvents>();
  /** Released, but not told their readers yet. */
  #settling: Watch[] = [];

  /** @param advance as `WatchEventsOptions.advance` */
  constructor(advance: () => void) {
    this.#advance = advance;
  }

  /**
   * Has the monitor retain what is asked for, once.
   *
   * @param signal ends a long call
   * @throws as the monitor, PtmonError `bad-argument` for `maxUnread` and unknown fields, the reason of `signal`
   */
  async open(monitor: PageTableMonitor, request: SessionWatchRequest, signal: AbortSignal): Promise<Watch> {
    checkRequest(request);
    const { tag, maxUnread } = request;
    if (isRange(request)) await carryOut(monitor.monitorRangeInSteps(request), signal);
    else monitor.monitor(request);
    const span = spanOf(monitor.paging, request);
    const watch: Watch = new Watch({
      monitor,
      span,
      tag,
      maxUnread,
      advance: this.#advance,
      onListen: (events) => this.#listening.add(events),
      onUnlisten: (events) => this.#listening.delete(events),
      onStop: () => this.#forget(watch),
    });
    const ofRoot = this.#active.get(span.root) ?? new Set<Watch>();
    this.#active.set(span.root, ofRoot.add(watch));
    return watch;
  }

  /** Whether anybody reads events of a watch. */
  get areRead(): boolean {
    return this.#listening.size > 0;
  }

  /** To every iterator that it concerns. */
  deliver(event: MonitorEvent): void {
    for (const events of this.#listening) events.deliver(event);
  }

  /** Readers that wait look again, and let the guest run on where they still have nothing. */
  wake(): void {
    for (const events of [...this.#listening]) events.wake();
  }

  /**
   * A call of the monitor has released what watches retain: they must not release it again.
   *
   * @param bySource the source said so, and its events are still to be delivered: `settle` follows
   */
  released(monitor: PageTableMonitor, call: WatchCall, bySource: boolean): void {
    for (const watch of this.#meantBy(monitor, call)) {
      if (call.kind === 'unmonitorByForce') watch.forced(call.va);
      else watch.released();
      if (!watch.isActive) this.#settling.push(watch);
    }
    if (!bySource) this.settle();
  }

  /** All that was to be delivered is: watches that were released end. */
  settle(): void {
    if (this.#settling.length === 0) return;
    for (const watch of this.#settling) watch.endIterators();
    this.#settling = [];
  }

  /** The session has ended. */
  end(failure: unknown): void {
    for (const watch of [...this.#all()]) watch.released();
    for (const events of [...this.#listening]) events.end(failure);
  }

  #meantBy({ paging }: PageTableMonitor, call: WatchCall): readonly Watch[] {
    switch (call.kind) {
      case 'unmonitorAll':
        return [...this.#all()];
      case 'unmonitorView':
        return [...this.#all()].filter(({ view }) => view === call.view);
      case 'rootGone':
      case 'unmonitorByForce': {
        const ofRoot = [...(this.#active.get(rootOf(paging, call.root)) ?? [])];
        return ofRoot.filter(({ view }) => call.view === undefined || view === call.view);
      }
      default:
        return [];
    }
  }

  *#all(): Generator<Watch> {
    for (const ofRoot of this.#active.values()) yield* ofRoot;
  }

  #forget(watch: Watch): void {
    const ofRoot = this.#active.get(watch.root);
    ofRoot?.delete(watch);
    if (ofRoot?.size === 0) this.#active.delete(watch.root);
  }
}

const FIELDS = ['view', 'root', 'va', 'byteLength', 'tag', 'runs', 'maxUnread'];

/** What the monitor does not check. */
function checkRequest(request: SessionWatchRequest): void {
  if (typeof request !== 'object' || request === null)
    throw new PtmonError('bad-argument', `the request ${String(request)} is not an object: pass { root, va }`);
  checkNames('watch', request, FIELDS);
  const { maxUnread } = request;
  if (maxUnread === undefined || maxUnread >= 1) return;
  throw new PtmonError('bad-argument', `maxUnread ${maxUnread} is not a number of at least 1`);
}
