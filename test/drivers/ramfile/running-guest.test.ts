/** E2 in a guest that runs while it is read: tables are freed, and used for something else, between any two reads of a sample. */
import { describe, expect, test } from 'vitest';
import { PageTableMonitor } from '../../../src/core/monitor/page-table-monitor.ts';
import type { PagingModeName } from '../../../src/core/paging/modes.ts';
import { PositionedMemory } from '../../../src/drivers/ramfile/positioned-memory.ts';
import type { PositionedSource } from '../../../src/drivers/ramfile/positioned-source.ts';

const PAGE = 4096;
const RAM_BYTES = 0x40 * PAGE;

/** Memory that the guest changes before the n-th read of it. */
class RunningGuest implements PositionedSource {
  readonly name = 'a guest';
  readonly #ram = new DataView(new ArrayBuffer(RAM_BYTES));
  reads = 0;
  beforeRead: (read: number) => void = () => {};

  put(pa: number, value: bigint): void {
    this.#ram.setBigUint64(pa, value, true);
  }

  read(into: Uint8Array, position: number): void {
    this.beforeRead(this.reads++);
    into.set(new Uint8Array(this.#ram.buffer, position, into.length));
  }

  check(): void {}
  close(): void {}
}

const [ROOT, PDPT, PD, T1, T2] = [0x1000, 0x2000, 0x3000, 0x4000, 0x5000];
const [OLD, NEW, GARBAGE] = [0x11000, 0x12000, 0x1f000];
const link = (pa: number): bigint => BigInt(pa) | 0x27n;
const ENTRIES = [0, 1, 2, 3];
const mode: PagingModeName = '4-level';

/** Four pages that are watched, in the table T1. */
function stage(): { guest: RunningGuest; memory: PositionedMemory; monitor: PageTableMonitor } {
  const guest = new RunningGuest();
  guest.put(ROOT, link(PDPT));
  guest.put(PDPT, link(PD));
  guest.put(PD, link(T1));
  for (const slot of ENTRIES) guest.put(T1 + slot * 8, link(OLD));
  const memory = new PositionedMemory([{ source: guest, regions: [{ pa: 0, byteLength: RAM_BYTES, position: 0 }] }], {
    guestRuns: true,
  });
  const monitor = new PageTableMonitor({ memory, paging: { mode } });
  monitor.monitorRange({ root: ROOT, va: 0, byteLength: ENTRIES.length * PAGE });
  return { guest, memory, monitor };
}

/** Its own table for the span is another now, and what was it holds data, which looks like entries. */
const reuse: Readonly<Record<string, (guest: RunningGuest) => void>> = {
  'the page table is another one, and the old one holds data': (guest) => {
    for (const slot of ENTRIES) guest.put(T2 + slot * 8, link(NEW));
    guest.put(PD, link(T2));
    for (const slot of ENTRIES) guest.put(T1 + slot * 8, link(GARBAGE));
  },
  'the page table is gone, and holds data': (guest) => {
    guest.put(PD, 0n);
    for (const slot of ENTRIES) guest.put(T1 + slot * 8, link(GARBAGE));
  },
  'two levels are others, and the old ones hold data': (guest) => {
    for (const slot of ENTRIES) guest.put(T2 + slot * 8, link(NEW));
    guest.put(0x6000, link(T2));
    guest.put(PDPT, link(0x6000));
    guest.put(PD, link(GARBAGE));
    for (const slot of ENTRIES) guest.put(T1 + slot * 8, link(GARBAGE));
  },
};

describe.each(Object.entries(reuse))('E2 %s', (_, change) => {
  test('before any one read of a sample: what is said was true', () => {
    const tried: number[] = [];
    for (let at = 0; ; at++) {
      const { guest, memory, monitor } = stage();
      guest.reads = 0;
      let hasChanged = false;
      guest.beforeRead = (read) => {
        if (read !== at) return;
        hasChanged = true;
        change(guest);
      };
      memory.clear();
      const events = monitor.resync();
      const said = events.filter(({ kind }) => kind === 'page-in').map((event) => ('pa' in event ? event.pa : null));
      expect(
        said.filter((pa) => pa !== OLD && pa !== NEW),
        `before read ${at}`,
      ).toEqual([]);
      if (!hasChanged) break;
      tried.push(at);
      // The next sample says the rest.
      memory.clear();
      monitor.resync();
      for (const slot of ENTRIES) {
        const { pa } = monitor.state({ root: ROOT, va: slot * PAGE })!;
        expect([null, NEW], `before read ${at}`).toContain(pa);
      }
    }
    expect(tried.length).toBeGreaterThan(6);
  });

  test('and again before any other read', () => {
    for (let first = 0; first < 12; first++) {
      for (let second = first + 1; second < 24; second++) {
        const { guest, memory, monitor } = stage();
        guest.reads = 0;
        guest.beforeRead = (read) => {
          if (read === first) for (const slot of ENTRIES) guest.put(T1 + slot * 8, slot === 2 ? 0n : link(NEW));
          if (read === second) change(guest);
        };
        memory.clear();
        const said = monitor.resync().flatMap((event) => (event.kind === 'page-in' ? [event.pa] : []));
        expect(said, `before reads ${first} and ${second}`).not.toContain(GARBAGE);
      }
    }
  });

  test('while a watch begins: its state was true', () => {
    for (let at = 0; at < 24; at++) {
      const { guest, monitor, memory } = stage();
      guest.reads = 0;
      guest.beforeRead = (read) => {
        if (read === at) change(guest);
      };
      memory.clear();
      monitor.unmonitorAll();
      monitor.monitorRange({ root: ROOT, va: 0, byteLength: ENTRIES.length * PAGE });
      for (const slot of ENTRIES) {
        expect([null, OLD, NEW], `before read ${at}`).toContain(monitor.state({ root: ROOT, va: slot * PAGE })!.pa);
      }
    }
  });
});

test('C8 a guest that does nothing but lead walks elsewhere does not hold up a sample for ever', () => {
  const { guest, memory, monitor } = stage();
  for (const slot of ENTRIES) guest.put(T2 + slot * 8, link(NEW));
  guest.reads = 0;
  guest.beforeRead = (read) => guest.put(PD, link(read % 2 === 0 ? T2 : T1));
  memory.clear();
  monitor.resync();
  expect(guest.reads).toBeLessThan(10_000);
});

test('what has not changed is read no more often than before, and not again', () => {
  const { guest, memory, monitor } = stage();
  guest.reads = 0;
  memory.clear();
  expect(monitor.resync()).toEqual([]);
  // Each page twice: an entry of a guest that runs is believed when two reads agree.
  expect(guest.reads).toBe(8);
  guest.put(T1, link(NEW));
  guest.reads = 0;
  memory.clear();
  expect(monitor.resync()).toHaveLength(2);
  expect(guest.reads).toBe(8 + 3);
});
