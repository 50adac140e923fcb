/**
 * Two monitors on one source, each with its own protection: the source traps what either has protected, and reports it to both. Two writes,
 * each across two entries or two frames, and the beginnings of the watches, in all orders.
 */
import { describe, expect, test } from 'vitest';
import type { MonitorEvent } from '../../../src/core/monitor/events.ts';
import { PageTableMonitor } from '../../../src/core/monitor/page-table-monitor.ts';
import type { PagingModeName } from '../../../src/core/paging/modes.ts';
import { PWU, Rig } from './rig.ts';

type Step = 'trap' | 'land' | 'process';
const STEPS: readonly Step[] = ['trap', 'land', 'process'];

interface Write {
  readonly pa: number;
  /** Entries from `pa` on. */
  readonly values: readonly bigint[];
}

/** A directory, the page table in the frame after it, and another page table; neighbours in the same page table are watched. */
function stage(mode: PagingModeName) {
  const rig = new Rig({ mode });
  const { entryBytes, slots } = mode === '32-bit' ? { entryBytes: 4, slots: 1024 } : { entryBytes: 8, slots: 512 };
  const root = rig.frame();
  const directory = mode === '32-bit' ? root : rig.frame();
  const [table, other] = [rig.frame(), rig.frame()];
  // The last entry of the directory, and the first page below it.
  const va = BigInt(slots - 1) * BigInt(slots) * 4096n;
  if (mode === 'pae') rig.poke(root, BigInt(directory) | 1n);
  if (mode === '4-level') {
    const pdpt = rig.frame();
    rig.poke(root, BigInt(pdpt) | PWU);
    rig.poke(pdpt, BigInt(directory) | PWU);
  }
  const last = directory + (slots - 1) * entryBytes;
  rig.poke(last, BigInt(other) | PWU);
  rig.poke(other, 0x50_0000n | PWU);
  rig.poke(other + entryBytes, 0x51_0000n | PWU);
  const writes: readonly Write[] = [
    { pa: last, values: [BigInt(table) | PWU, 0x60_0000n | PWU] },
    { pa: table, values: [0x70_0000n | PWU, 0x71_0000n | PWU] },
  ];
  return { rig, root, va, writes, entryBytes };
}

/** One of the monitors, and what its events have led to. */
class Client {
  readonly access = new Map<number, number>();
  readonly monitor: PageTableMonitor;
  readonly #root: number;
  readonly #known = new Map<bigint, number | null>();

  constructor(rig: Rig, mode: PagingModeName, root: number) {
    this.#root = root;
    this.monitor = new PageTableMonitor({
      memory: rig.memory,
      paging: { mode },
      protection: {
        getAccess: (_view, gfn) => this.access.get(gfn) ?? 7,
        setAccess: (_view, gfn, access) => void this.access.set(gfn, access),
      },
    });
  }

  watch(va: bigint, asRange: boolean): void {
    if (asRange) this.monitor.monitorRange({ root: this.#root, va, byteLength: 8192 });
    for (const page of [va, va + 4096n]) {
      if (!asRange) this.monitor.monitor({ root: this.#root, va: page });
      this.#known.set(page, this.monitor.state({ root: this.#root, va: page })!.pa);
    }
  }

  traps(pa: number): boolean {
    return ((this.access.get(Math.floor(pa / 4096)) ?? 7) & 2) === 0;
  }

  hear(events: readonly MonitorEvent[]): void {
    for (const event of events) {
      if (event.kind !== 'page-in' && event.kind !== 'page-out') throw new Error(`an event ${event.kind}`);
      expect(this.#known.get(event.va)).toBe(event.kind === 'page-in' ? null : event.pa);
      this.#known.set(event.va, event.kind === 'page-in' ? event.pa : null);
    }
  }

  /** Nothing is in flight any more: what the events led to is what is true (E1, C1). */
  check(): void {
    for (const [va, pa] of this.#known) {
      const { state, walk } = this.monitor.explain({ root: this.#root, va });
      expect([state!.pa, pa]).toEqual(Array(2).fill(walk.translates ? walk.pa : null));
    }
    expect(this.monitor.resync()).toEqual([]);
    this.monitor.unmonitorAll();
    expect([...this.access.values()].filter((access) => access !== 7)).toEqual([]);
  }
}

/** The orders of the steps of two writes, each as the numbers of the writes. */
function ordersOf(left: readonly [number, number]): number[][] {
  if (left[0] + left[1] === 0) return [[]];
  return [0, 1].flatMap((write) => {
    if (left[write] === 0) return [];
    const rest: [number, number] = [left[0] - (write === 0 ? 1 : 0), left[1] - (write === 1 ? 1 : 0)];
    return ordersOf(rest).map((order) => [write, ...order]);
  });
}

function run(mode: PagingModeName, order: readonly number[], begins: readonly [number, number]): void {
  const { rig, root, va, writes, entryBytes } = stage(mode);
  const clients = [new Client(rig, mode, root), new Client(rig, mode, root)];
  const done = [0, 0];
  const inFlight = [false, false];
  for (let at = 0; at <= order.length; at++) {
    clients.forEach((client, index) => begins[index] === at && client.watch(va, index === 1));
    const vcpu = order[at];
    if (vcpu === undefined) break;
    const { pa, values } = writes[vcpu]!;
    const bytes = values.length * entryBytes;
    const land = () => values.forEach((value, index) => rig.poke(pa + index * entryBytes, value));
    switch (STEPS[done[vcpu]!++]) {
      case 'trap':
        inFlight[vcpu] = clients.some((client) => client.traps(pa) || client.traps(pa + bytes - 1));
        // A write that does not trap is in memory at once, and nobody is told.
        if (!inFlight[vcpu]) land();
        else for (const { monitor } of clients) monitor.markDirty(pa, bytes, 0, vcpu);
        break;
      case 'land':
        if (inFlight[vcpu]) land();
        break;
      default:
        if (inFlight[vcpu]) for (const client of clients) client.hear(client.monitor.processDirtyEntries(vcpu));
    }
  }
  for (const client of clients) client.check();
}

describe.each(['4-level', 'pae', '32-bit'] as const)('%s', (mode) => {
  test('two writes and two watches in all orders (C1, C4, C5)', () => {
    for (const order of ordersOf([3, 3])) {
      for (let first = 0; first <= 6; first++)
        for (let second = 0; second <= 6; second++) run(mode, order, [first, second]);
    }
  });
});
