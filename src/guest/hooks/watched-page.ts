/** One page of a process, as it comes and goes: what waits for it, or hooks an instruction in it, is told with the guest stopped. */
import { PAGE_BYTES } from '../../core/address/pa.ts';
import { hex } from '../../core/address/va.ts';
import { PtmonError } from '../../core/error.ts';
import type { MonitorEvent } from '../../core/monitor/events.ts';
import type { VirtualMemory } from '../memory/virtual-memory.ts';
import type { LiveSession } from '../session/live-session.ts';
import { ProcessLayer } from './process-layer.ts';

export interface WatchedPageOptions {
  readonly pid: number;
  readonly va: bigint;
  /** The page has come; it is there. */
  readonly onPresent: () => Promise<void> | void;
  readonly onAbsent: () => Promise<void> | void;
  /** The process has ended: nothing more comes. */
  readonly onEnd: () => Promise<void> | void;
}

export class WatchedPage extends ProcessLayer {
  readonly #options: WatchedPageOptions;
  #isOver = false;

  private constructor(live: LiveSession, options: WatchedPageOptions) {
    super(live, { by: { pid: options.pid }, map: { kind: 'at', va: options.va } });
    this.#options = options;
  }

  /** Watches from now on. The guest must be stopped. */
  static async open(live: LiveSession, options: WatchedPageOptions): Promise<WatchedPage> {
    const page = new WatchedPage(live, options);
    await page.begin();
    return page;
  }

  async take(events: readonly MonitorEvent[]): Promise<void> {
    const { va, onPresent, onAbsent, onEnd } = this.#options;
    for (const event of events) {
      if (event.kind === 'root-gone') this.#isOver = true;
      else if (event.kind === 'page-in' && isOf(event, va)) await onPresent();
      else if (event.kind === 'page-out' && isOf(event, va)) await onAbsent();
    }
    if (!this.#isOver && !this.hasEnded) return;
    await this.release();
    await onEnd();
  }
}

/** Whether a page is there. @throws PtmonError `bad-argument` for an address that no page can ever back */
export async function isBacked(memory: VirtualMemory, va: bigint): Promise<boolean> {
  const walk = await memory.walk(va);
  if (walk.translates || walk.reason !== 'non-canonical') return walk.translates;
  throw new PtmonError('bad-argument', `${hex(va)} is not canonical: no page can be there`);
}

function isOf({ va, pages }: { readonly va: bigint; readonly pages: number }, wanted: bigint): boolean {
  const start = va - (va % BigInt(PAGE_BYTES));
  return wanted >= start && wanted < start + BigInt(pages * PAGE_BYTES);
}
