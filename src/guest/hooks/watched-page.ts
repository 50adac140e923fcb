/** One page of a process, as it comes and goes: what waits for it, or hooks an instruction in it, is told with the guest stopped. */
import type { MonitorEvent } from '../../core/monitor/events.ts';
import type { SourceEvent } from '../../driver/driver.ts';
import { type ProcessEvent, ProcessWatch } from '../../linux/index.ts';
import type { EventLayer } from './layers.ts';
import type { LiveSession } from './live-session.ts';

const PAGE_BYTES = 4096n;

export interface WatchedPageOptions {
  readonly pid: number;
  readonly va: bigint;
  /** The page has come; it is there. */
  readonly onPresent: () => Promise<void> | void;
  readonly onAbsent: () => Promise<void> | void;
  /** The process has ended: nothing more comes. */
  readonly onEnd: () => Promise<void> | void;
}

let pages = 0;

export class WatchedPage implements EventLayer {
  readonly #options: WatchedPageOptions;
  readonly #live: LiveSession;
  readonly #watch: ProcessWatch;
  #hasEnded = false;

  private constructor(live: LiveSession, options: WatchedPageOptions) {
    const { pid, va } = options;
    this.#live = live;
    this.#options = options;
    this.#watch = new ProcessWatch({
      linux: live.linux,
      selection: { by: { pid }, map: { kind: 'at', va } },
      isExact: live.isExact,
      vcpuCount: live.vcpuCount,
      owner: `page ${pages++}`,
      onEnd: () => (this.#hasEnded = true),
    });
  }

  /** Watches from now on; the guest must be stopped. `onPresent` is called where the page is there already. */
  static async open(live: LiveSession, options: WatchedPageOptions): Promise<WatchedPage> {
    const page = new WatchedPage(live, options);
    await page.#watch.begin(live.session);
    live.add(page);
    return page;
  }

  /** The guest must be stopped. */
  end(): void {
    this.#live.remove(this);
    this.#watch.end();
  }

  words(): Float64Array {
    return this.#watch.words();
  }

  update(batch: readonly SourceEvent[]): Promise<readonly SourceEvent[]> {
    return this.#watch.update(batch);
  }

  label(events: readonly MonitorEvent[]): Promise<readonly MonitorEvent[]> {
    return this.#watch.label(events);
  }

  async take(events: readonly ProcessEvent[]): Promise<void> {
    for (const event of events) {
      if (event.kind === 'root-gone') this.#hasEnded = true;
      else if (event.kind === 'page-in' && isOf(event, this.#options.va)) await this.#options.onPresent();
      else if (event.kind === 'page-out' && isOf(event, this.#options.va)) await this.#options.onAbsent();
    }
    if (!this.#hasEnded) return;
    this.end();
    await this.#options.onEnd();
  }
}

function isOf({ va, pages: count }: { readonly va: bigint; readonly pages: number }, wanted: bigint): boolean {
  return wanted >= va - (va % PAGE_BYTES) && wanted < va - (va % PAGE_BYTES) + BigInt(count) * PAGE_BYTES;
}
