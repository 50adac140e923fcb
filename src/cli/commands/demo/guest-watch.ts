/** Watches the areas that the guest's processes have at the moment, as a Linux layer does by reading the guest's own lists. */
import type { PageTableMonitor } from '../../../core/monitor/page-table-monitor.ts';
import type { Guest, GuestActionName, SimArea, SimProcess } from '../../../testing/index.ts';

interface Watched {
  readonly root: number;
  readonly va: bigint;
  readonly byteLength: number;
  readonly tag: string;
}

/** What existed when the watch began. */
export interface Attachment {
  readonly processes: number;
  readonly areas: number;
  readonly pages: number;
}

export class GuestWatch {
  readonly #guest: Guest;
  readonly #monitor: PageTableMonitor;
  /** By root, then by range and tag. */
  #watched = new Map<number, Map<string, Watched>>();
  /** By vCPU, the step that changes areas: they may change again until the vCPU begins another step. */
  readonly #changing = new Map<number, number>();
  #stale = false;
  #attachment: Attachment | undefined;

  /** @param after steps of the guest before the watch begins */
  constructor(guest: Guest, monitor: PageTableMonitor, after: number) {
    this.#guest = guest;
    this.#monitor = monitor;
    guest.observe({
      action: ({ action, step, vcpu }) => {
        if (step <= after || (this.#attachment !== undefined && !CHANGES_AREAS.has(action))) return;
        this.#changing.set(vcpu, step);
        this.#stale = true;
        // Not later: the first pages of a new address space would come in before it is watched.
        if (this.#attachment === undefined || ADDS_SPACE.has(action)) this.update();
      },
    });
  }

  /** Undefined before the watch begins. */
  get attachment(): Attachment | undefined {
    return this.#attachment;
  }

  /** Watches the areas that have appeared since the last call, and releases those that have gone. */
  update(): void {
    for (const [vcpu, step] of this.#changing) {
      if (this.#guest.actionOn(vcpu)?.step !== step) {
        this.#changing.delete(vcpu);
        this.#stale = true;
      }
    }
    if (!this.#stale) return;
    this.#stale = false;
    const { processes } = this.#guest;
    const now = new Map<number, Map<string, Watched>>();
    for (const process of processes) {
      for (const [index, root] of process.roots.entries()) {
        now.set(root, this.#updateRoot(process, root, index > 0));
      }
    }
    // A root that no process has any more may still change. The driver reports when it is gone, which releases its areas.
    this.#watched = now;
    this.#attachment ??= {
      processes: processes.length,
      areas: [...now.values()].reduce((sum, areas) => sum + areas.size, 0),
      pages: this.#monitor.pagedInEntries(),
    };
  }

  #updateRoot(process: SimProcess, root: number, isUser: boolean): Map<string, Watched> {
    const before = this.#watched.get(root) ?? new Map<string, Watched>();
    const now = new Map<string, Watched>();
    for (const area of process.areas) {
      const watched = { root, va: area.va, byteLength: area.byteLength, tag: tagOf(process, area, isUser) };
      const key = `${area.va} ${area.byteLength} ${watched.tag}`;
      if (!before.has(key)) this.#monitor.monitorRange({ ...watched, runs: true });
      now.set(key, watched);
    }
    for (const [key, watched] of before) {
      if (now.has(key)) continue;
      // An area leaves the list of the process before its pages are unmapped: keep it, or their page-outs are missed.
      if (process.busy) {
        now.set(key, watched);
        this.#stale = this.#changing.size === 0;
      } else {
        this.#monitor.unmonitorRange(watched);
      }
    }
    return now;
  }
}

const ADDS_SPACE: ReadonlySet<GuestActionName> = new Set<GuestActionName>(['spawn', 'fork', 'exec']);
const CHANGES_AREAS: ReadonlySet<GuestActionName> = new Set<GuestActionName>([
  ...ADDS_SPACE,
  'exit',
  'mmap',
  'mprotect',
  'mremap',
  'munmap',
  'reset',
]);

/** `nginx[12]:heap`; where page tables are isolated, `nginx[12]:heap@user` in the user's root. */
export function tagOf(process: SimProcess, area: SimArea, isUser: boolean): string {
  return `${process.name}[${process.pid}]:${areaName(process, area)}${isUser ? '@user' : ''}`;
}

/** `heap` for `[heap]`, `exe` for the program's own file, `libc` for `/usr/lib/libc.so.6`. */
function areaName(process: SimProcess, area: SimArea): string {
  if (area.name.startsWith('[')) return area.name.slice(1, -1).replaceAll(' ', '');
  const file = area.name.slice(area.name.lastIndexOf('/') + 1);
  return file === process.name ? 'exe' : file.replace(/\.so.*$/, '');
}
