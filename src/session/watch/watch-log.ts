/** What sinks hear of the watches themselves: when one begins, what backs it then, and when it ends. */
import type { BackedRun, EventTime } from '../../core/monitor/events.ts';
import type { PageTableMonitor } from '../../core/monitor/page-table-monitor.ts';
import { rootOf } from '../../core/paging/format.ts';
import type { WatchCall } from '../../driver/watch-calls.ts';
import type { WatchChange } from '../../sinks/sink.ts';
import { spanOf } from './watched-span.ts';

/** Runs in one change: a watch of more is reported in parts, each some 100 KiB of text at most. */
const MAX_RUNS = 1024;
const PAGE_BYTES = 4096n;

export class WatchLog {
  readonly #monitor: PageTableMonitor;
  #changes: WatchChange[] = [];

  constructor(monitor: PageTableMonitor) {
    this.#monitor = monitor;
  }

  /** A call of the monitor has succeeded. */
  called(call: WatchCall, time: EventTime): void {
    for (const change of this.#changesOf(call)) this.#changes.push({ ...change, time });
  }

  get isEmpty(): boolean {
    return this.#changes.length === 0;
  }

  /** The changes since the last call, in their order. */
  take(): readonly WatchChange[] {
    const changes = this.#changes;
    this.#changes = [];
    return changes;
  }

  #changesOf(call: WatchCall): Omit<WatchChange, 'time'>[] {
    const { paging } = this.#monitor;
    switch (call.kind) {
      case 'resync':
        return [];
      case 'unmonitorAll':
        return [{ kind: 'unwatch', tags: [], backed: [] }];
      case 'unmonitorView':
        return [{ kind: 'unwatch', ...(call.view !== undefined && { view: call.view }), tags: [], backed: [] }];
      case 'rootGone': {
        const view = call.view === undefined ? {} : { view: call.view };
        return [{ kind: 'unwatch', ...view, root: rootOf(paging, call.root), tags: [], backed: [] }];
      }
      case 'monitor':
      case 'unmonitor':
      case 'unmonitorByForce': {
        const { view, root, va } = spanOf(paging, call);
        const { pa = null, pageSize = null } = this.#monitor.state(call) ?? {};
        const backed = pa === null || pageSize === null ? [] : [{ va, pa, pageSize, pages: 1 }];
        const kind = call.kind === 'monitor' ? 'watch' : 'unwatch';
        return [{ kind, view, root, va, tags: tagsOf(call), backed }];
      }
      case 'monitorRange':
      case 'unmonitorRange': {
        const { view, root, va, pages = 1 } = spanOf(paging, call);
        const kind = call.kind === 'monitorRange' ? 'watch' : 'unwatch';
        const end = va + BigInt(pages) * PAGE_BYTES;
        return chunksOf(this.#monitor.backedRuns(call)).map((backed, at, chunks) => {
          const from = at === 0 ? va : backed[0]!.va;
          const to = at === chunks.length - 1 ? end : chunks[at + 1]![0]!.va;
          return { kind, view, root, va: from, pages: Number((to - from) / PAGE_BYTES), tags: tagsOf(call), backed };
        });
      }
    }
  }
}

function tagsOf({ tag }: { readonly tag?: string | number }): (string | number)[] {
  return tag === undefined ? [] : [tag];
}

/** At least one chunk. */
function chunksOf(runs: readonly BackedRun[]): readonly (readonly BackedRun[])[] {
  const chunks: BackedRun[][] = [];
  for (let from = 0; from === 0 || from < runs.length; from += MAX_RUNS) chunks.push(runs.slice(from, from + MAX_RUNS));
  return chunks;
}
