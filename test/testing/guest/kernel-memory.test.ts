import { describe, expect, test } from 'vitest';
import { makePaging } from '../../../src/core/paging/format.ts';
import type { PagingModeName } from '../../../src/core/paging/modes.ts';
import { Machine, type Steps } from '../../../src/testing/index.ts';
import { type Found, KernelMemory } from '../../../src/testing/guest/tables/kernel-memory.ts';

const PA = 0x3008;
const OLD = [0xaaaa_a067, 0x0000_000a] as const;
const NEW = [0xbbbb_b067, 0x0000_000b] as const;
const NONE = [0, 0] as const;

function setUp(mode: PagingModeName) {
  const machine = new Machine({ mode, memoryFrames: 16 });
  machine.views.setAccess(0, 3, 5);
  const memory = new KernelMemory(machine, makePaging({ mode }));
  const put = (lo: number, hi: number) => machine.page(3)!.set([lo, hi], 2);
  const get = () => [...machine.page(3)!.subarray(2, 4)];
  return { machine, memory, put, get };
}

/** Performs the steps with each trap committed, and answers what the entry was after each. */
function observe({ machine, get }: ReturnType<typeof setUp>, steps: Steps): number[][] {
  const states: number[][] = [];
  for (const _ of steps) {
    machine.commit(0);
    states.push(get());
  }
  return states;
}

describe('writing an entry', () => {
  test.each(['4-level', '5-level'] as const)('in %s is one write', (mode) => {
    const setup = setUp(mode);
    setup.put(...OLD);
    expect(observe(setup, setup.memory.set(0, PA, ...NEW))).toEqual([[...NEW]]);
    expect(setup.machine.takeEvents()[0]).toMatchObject({ kind: 'write', pa: PA, byteLength: 8 });
  });

  test('in 32-bit is one write of 4 bytes', () => {
    const setup = setUp('32-bit');
    expect(observe(setup, setup.memory.set(0, PA, ...NEW))).toEqual([[NEW[0], 0]]);
    expect(setup.machine.takeEvents()[0]).toMatchObject({ kind: 'write', pa: PA, byteLength: 4 });
  });

  test.each([
    ['set', NONE, NEW, [[0, NEW[1]], NEW]],
    ['cleared', OLD, NONE, [[0, OLD[1]], NONE]],
    ['replaced', OLD, NEW, [NEW]],
  ] as const)('in PAE, %s, is never present with half an address', (_, before, after, states) => {
    const setup = setUp('pae');
    setup.put(before[0], before[1]);
    expect(observe(setup, setup.memory.set(0, PA, after[0], after[1]))).toEqual(states);
  });

  test('clearing the writable bit is a write of one byte that changes nothing else', () => {
    const setup = setUp('4-level');
    setup.put(...OLD);
    expect(observe(setup, setup.memory.clearWritable(0, PA))).toEqual([[OLD[0] - 2, OLD[1]]]);
    expect(setup.machine.takeEvents()[0]).toMatchObject({ kind: 'write', pa: PA, byteLength: 1 });
  });
});

describe('the lock of a table', () => {
  test('is had by one at a time; the next waits', () => {
    const { memory } = setUp('4-level');
    expect(memory.lock(3).next().done).toBe(true);
    const other = memory.lock(3);
    expect([other.next().done, other.next().done]).toEqual([false, false]);
    expect(memory.lock(4).next().done).toBe(true);
    memory.unlock(3);
    expect(other.next().done).toBe(true);
    expect(memory.lock(3).next().done).toBe(false);
  });
});

describe('seeking what is mapped', () => {
  test.each(['4-level', 'pae', '32-bit'] as const)(
    'in %s finds pages, large pages and swap, and steps over holes',
    (mode) => {
      const machine = new Machine({ mode, memoryFrames: 16 });
      const paging = makePaging({ mode });
      const memory = new KernelMemory(machine, paging);
      const { slots } = paging.byLevel[1]!;
      const bytes = paging.mode.entryBytes;
      const depth = paging.levels.length;
      const write = (pa: number, lo: number) => machine.writeEntry(0, pa, lo, bytes === 8 ? 0 : undefined);
      // Frames 1, 2, … are the tables of page 0 on, the root first.
      const flags = (level: number) => (paging.byLevel[level]!.rightsMask === 0 ? 1 : 0x67);
      for (let n = 1; n < depth; n++) write(n * 4096, ((n + 1) << 12) | flags(depth - n + 1));
      const pt = depth * 4096;
      write(pt + 3 * bytes, 0x9067);
      write(pt + 9 * bytes, 0x200);
      write(pt - 4096 + 5 * bytes, 0x4000e7);

      const found: Found = { vpn: 0, level: 0, pa: 0, lo: 0, hi: 0 };
      const all: number[][] = [];
      for (
        let vpn = 0;
        memory.seek(0x1000, vpn, 2 ** 20, found);
        vpn = found.vpn + paging.byLevel[found.level]!.slotPages
      ) {
        all.push([found.vpn, found.level, found.lo]);
      }
      expect(all).toEqual([
        [3, 1, 0x9067],
        [9, 1, 0x200],
        [5 * slots, 2, 0x4000e7],
      ]);
      expect(memory.seek(0x1000, 4, 9, found)).toBe(false);
      expect(memory.seek(0x1000, 5 * slots + 7, 5 * slots + 8, found)).toBe(true);
      expect(found.vpn).toBe(5 * slots);
      expect(memory.entryAt(0x1000, 3, 1)).toBe(pt + 3 * bytes);
      expect(memory.entryAt(0x1000, 5 * slots, 1)).toBe(-1);
    },
  );
});
