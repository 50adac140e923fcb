/** A monitor that reports the calls which change what is watched, once they have succeeded. */
import type { Address, MonitorOptions, RangeRequest, RangeWatchRequest, WatchRequest } from '../core/monitor/api.ts';
import type { CallInSteps } from '../core/monitor/call-in-steps.ts';
import type { MonitorEvent } from '../core/monitor/events.ts';
import { type CompareScope, PageTableMonitor } from '../core/monitor/page-table-monitor.ts';
import type { WatchCall } from '../driver/watch-calls.ts';

export interface MonitorObserver {
  /** @param bySource an event of the source asked for it (`asSource`), no caller */
  called(call: WatchCall, bySource: boolean): void;
}

export class ObservedMonitor extends PageTableMonitor {
  readonly #observer: MonitorObserver;
  #bySource = false;

  constructor(options: MonitorOptions, observer: MonitorObserver) {
    super(options);
    this.#observer = observer;
  }

  /** Does what the source's own events ask for. */
  asSource<T>(work: () => T): T {
    this.#bySource = true;
    try {
      return work();
    } finally {
      this.#bySource = false;
    }
  }

  override monitor(request: WatchRequest): void {
    super.monitor(request);
    this.#tell({ kind: 'monitor', ...addressOf(request) });
  }

  override monitorRangeInSteps(request: RangeWatchRequest): CallInSteps<void> {
    return this.#tellAfter(super.monitorRangeInSteps(request), () => {
      return { kind: 'monitorRange', ...rangeOf(request), runs: request.runs ?? false };
    });
  }

  override unmonitor(request: WatchRequest): boolean {
    const answer = super.unmonitor(request);
    this.#tell({ kind: 'unmonitor', ...addressOf(request) });
    return answer;
  }

  override unmonitorRangeInSteps(request: RangeRequest): CallInSteps<boolean> {
    return this.#tellAfter(super.unmonitorRangeInSteps(request), () => {
      return { kind: 'unmonitorRange', ...rangeOf(request), runs: false };
    });
  }

  override unmonitorByForce(address: Address): boolean {
    const answer = super.unmonitorByForce(address);
    this.#tell({ kind: 'unmonitorByForce', ...addressOf(address) });
    return answer;
  }

  override unmonitorViewInSteps(view: number): CallInSteps<void> {
    return this.#tellAfter(super.unmonitorViewInSteps(view), () => ({ kind: 'unmonitorView', view }));
  }

  override unmonitorAllInSteps(): CallInSteps<void> {
    return this.#tellAfter(super.unmonitorAllInSteps(), () => ({ kind: 'unmonitorAll' }));
  }

  override rootGoneInSteps(root: number | bigint, view?: number): CallInSteps<MonitorEvent[]> {
    return this.#tellAfter(super.rootGoneInSteps(root, view), () => ({ kind: 'rootGone', root: BigInt(root), view }));
  }

  override resyncInSteps(view?: number, scope?: CompareScope): CallInSteps<MonitorEvent[]> {
    return this.#tellAfter(super.resyncInSteps(view, scope), () => ({ kind: 'resync', view }));
  }

  #tellAfter<T>(steps: CallInSteps<T>, call: () => WatchCall): CallInSteps<T> {
    const bySource = this.#bySource;
    steps.onSuccess = () => this.#observer.called(call(), bySource);
    return steps;
  }

  #tell(call: WatchCall): void {
    this.#observer.called(call, this.#bySource);
  }
}

function addressOf({ view = 0, root, va, tag }: WatchRequest) {
  return { view, root: BigInt(root), va: BigInt(va), ...(tag !== undefined && { tag }) };
}

function rangeOf(request: RangeRequest) {
  return { ...addressOf(request), byteLength: BigInt(request.byteLength) };
}
