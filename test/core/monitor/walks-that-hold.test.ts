/** Where the guest runs while its memory is read, every entry that leads to a change is checked again before it is reported (rule E2). */
import { describe, expect, test } from 'vitest';
import { PageTableMonitor, type PhysicalMemory, SparseMemory } from '../../../src/core/index.ts';

const PRESENT = 3;

/** Memory of a running guest that remembers which entries it was asked about. */
function runningMemory() {
  const memory = new SparseMemory();
  for (let gfn = 1; gfn < 16; gfn++) memory.addPage(gfn);
  const asked = new Set<number>();
  const running: PhysicalMemory = {
    readEntry: (pa, byteLength, out) => memory.readEntry(pa, byteLength, out),
    stillHolds: (entries) => {
      for (const pa of entries) asked.add(pa);
      return true;
    },
  };
  const set = (pa: number, entry: number) => {
    memory.write(pa, new Uint8Array(BigUint64Array.of(BigInt(entry)).buffer));
  };
  return { running, asked, set };
}

describe('E2 every entry above a change is asked for', () => {
  test('C6 two roots that share a table: the entries of both', () => {
    const { running, asked, set } = runningMemory();
    for (const root of [0x1000, 0x2000]) set(root, 0x3000 | PRESENT);
    set(0x3000, 0x4000 | PRESENT);
    set(0x4000, 0x5000 | PRESENT);
    const monitor = new PageTableMonitor({ memory: running, paging: { mode: '4-level' } });
    for (const root of [0x1000, 0x2000]) monitor.monitor({ root, va: 0n });
    asked.clear();
    set(0x5000, 0x6000 | PRESENT);
    expect(monitor.resync()).toHaveLength(2);
    expect([...asked].sort((a, b) => a - b)).toEqual([0x1000, 0x2000, 0x3000, 0x4000]);
  });

  test('C6 a table that leads to itself: the entry above it as well', () => {
    const { running, asked, set } = runningMemory();
    // PML4[3] leads to a table whose slot 5 leads to itself.
    set(0x1000 + 3 * 8, 0x2000 | PRESENT);
    set(0x2000 + 5 * 8, 0x2000 | PRESENT);
    const monitor = new PageTableMonitor({ memory: running, paging: { mode: '4-level' } });
    monitor.monitor({ root: 0x1000, va: (3n << 39n) | (5n << 30n) | (5n << 21n) | (7n << 12n) });
    asked.clear();
    set(0x2000 + 7 * 8, 0x6000 | PRESENT);
    expect(monitor.resync()).toHaveLength(1);
    expect([...asked].sort((a, b) => a - b)).toEqual([0x1000 + 3 * 8, 0x2000 + 5 * 8]);
  });
});
