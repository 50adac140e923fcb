/** A monitor whose callers are overheard: what they ask for is told once it was done. */
import type { Address, MonitorOptions, RangeRequest, RangeWatchRequest, WatchRequest } from '../core/monitor/api.ts';
import type { MonitorEvent } from '../core/monitor/events.ts';
import { PageTableMonitor } from '../core/monitor/page-table-monitor.ts';
import type { WatchCall } from '../driver/watch-calls.ts';

export class ObservedMonitor extends PageTableMonitor {
  readonly #tell: (call: WatchCall) => void;
  #isQuiet = false;

  constructor(options: MonitorOptions, tell: (call: WatchCall) => void) {
    super(options);
    this.#tell = (call) => {
      if (!this.#isQuiet) tell(call);
    };
  }

  /** Does what the source's own words ask for: nobody has called for that. */
  quietly<T>(work: () => T): T {
    this.#isQuiet = true;
    try {
      return work();
    } finally {
      this.#isQuiet = false;
    }
  }

  override monitor(request: WatchRequest): void {
    super.monitor(request);
    this.#tell({ kind: 'monitor', ...addressOf(request) });
  }

  override monitorRange(request: RangeWatchRequest): void {
    super.monitorRange(request);
    this.#tell({ kind: 'monitorRange', ...rangeOf(request), runs: request.runs ?? false });
  }

  override unmonitor(request: WatchRequest): boolean {
    const answer = super.unmonitor(request);
    this.#tell({ kind: 'unmonitor', ...addressOf(request) });
    return answer;
  }

  override unmonitorRange(request: RangeRequest): boolean {
    const answer = super.unmonitorRange(request);
    this.#tell({ kind: 'unmonitorRange', ...rangeOf(request), runs: false });
    return answer;
  }

  override unmonitorByForce(address: Address): boolean {
    const answer = super.unmonitorByForce(address);
    this.#tell({ kind: 'unmonitorByForce', ...addressOf(address) });
    return answer;
  }

  override unmonitorView(view: number): void {
    super.unmonitorView(view);
    this.#tell({ kind: 'unmonitorView', view });
  }

  override unmonitorAll(): void {
    super.unmonitorAll();
    this.#tell({ kind: 'unmonitorAll' });
  }

  override rootGone(root: number | bigint, view?: number): MonitorEvent[] {
    const events = super.rootGone(root, view);
    this.#tell({ kind: 'rootGone', root: BigInt(root), view });
    return events;
  }

  override resync(view?: number): MonitorEvent[] {
    const events = super.resync(view);
    this.#tell({ kind: 'resync', view });
    return events;
  }
}

function addressOf({ view = 0, root, va, tag }: WatchRequest) {
  return { view, root: BigInt(root), va: BigInt(va), ...(tag !== undefined && { tag }) };
}

function rangeOf(request: RangeRequest) {
  return { ...addressOf(request), byteLength: BigInt(request.byteLength) };
}
