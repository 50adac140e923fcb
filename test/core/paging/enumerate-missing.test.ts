import { describe, expect, test } from 'vitest';
import { PtmonError } from '../../../src/core/error.ts';
import { PageCache } from '../../../src/core/memory/page-cache.ts';
import { type PhysicalMemory, READ_NO_MEMORY, READ_NOT_FETCHED } from '../../../src/core/memory/physical-memory.ts';
import { type EnumerateOptions, mappedRanges } from '../../../src/core/paging/enumerate.ts';
import { MISSING_LIMIT } from '../../../src/core/paging/missing-tables.ts';
import { line, lines, Watched } from './enumerated.ts';
import { Machine, tableAt } from './machine.ts';

const GIB = 1n << 30n;
const MIB = 1n << 20n;

describe('Enumeration of memory that is not here yet', () => {
  /** Runs until something is missing. Answers what was yielded before, and the addresses. */
  function run(machine: Machine, memory: PhysicalMemory, root: bigint, options?: EnumerateOptions) {
    const seen: string[] = [];
    try {
      for (const range of mappedRanges(machine.paging, memory, root, options)) seen.push(line(range));
    } catch (error) {
      expect(error).toBeInstanceOf(PtmonError);
      expect(error).toMatchObject({ code: 'not-fetched', facts: { root: Number(root) } });
      return { seen, missing: (error as PtmonError).facts.missing, message: (error as PtmonError).message };
    }
    return { seen, missing: [], message: '' };
  }

  test('the root first', () => {
    const machine = new Machine({ mode: '4-level' });
    const root = machine.chain(0n, 1, 0x9027n);
    const memory = new Watched(machine);
    memory.missing.add(Number(root >> 12n));
    expect(run(machine, memory, root)).toEqual({
      seen: [],
      missing: [Number(root)],
      message: 'the tables of root 0x41000 are not all fetched yet; missing: 1, the first at 0x41000',
    });
    expect(run(machine, memory, root, { from: GIB * 512n }).missing).toEqual([Number(root) + 8]);
  });

  test('all that one pass can find, once for each frame, and nothing yielded behind the first', () => {
    const machine = new Machine({ mode: '4-level' });
    const root = machine.chain(0n, 2, 0x8000_00a7n);
    const [first, second, third] = [0x70_0000n, 0x70_1000n, 0x70_2000n];
    machine.put(tableAt(2) + 8n, first | 0x27n);
    machine.put(tableAt(2) + 16n, 0x9020_00a7n);
    machine.put(tableAt(2) + 24n, second | 0x27n);
    machine.put(tableAt(2) + 32n, first | 0x27n);
    machine.put(tableAt(3) + 8n, third | 0x27n);
    for (const table of [first, second, third]) machine.put(table, 0xa000_0027n);
    const memory = new Watched(machine);
    for (const table of [first, second, third]) memory.missing.add(Number(table >> 12n));
    // The 2 MiB leaf before the first hole may go on behind it: it is not whole, so it is not yielded.
    expect(run(machine, memory, root)).toMatchObject({ seen: [], missing: [first, second, third].map(Number) });

    memory.missing.delete(Number(first >> 12n));
    const afterwards = run(machine, memory, root);
    expect(afterwards.seen).toEqual([
      '0x0+0x200000 -> 0x80000000 / 0x200000 wux',
      '0x200000+0x1000 -> 0xa0000000 / 0x1000 wux',
    ]);
    expect(afterwards.missing).toEqual([second, third].map(Number));
  });

  test('no more than the limit at once, the nearest first', () => {
    const machine = new Machine({ mode: '4-level' });
    const root = machine.chain(0n, 2, 0n);
    const memory = new Watched(machine);
    const directories = [tableAt(2), 0x70_0000n, 0x70_1000n];
    const tables: number[] = [];
    for (const [index, directory] of directories.entries()) {
      machine.put(tableAt(3) + BigInt(index) * 8n, directory | 0x27n);
      for (let slot = 0; slot < 512; slot++) {
        const table = 0x1000_0000 + (index * 512 + slot) * 0x1000;
        tables.push(table);
        memory.missing.add(table / 4096);
        machine.put(directory + BigInt(slot) * 8n, BigInt(table) | 0x27n);
      }
    }
    expect(MISSING_LIMIT).toBe(1024);
    expect(run(machine, memory, root).missing).toEqual(tables.slice(0, MISSING_LIMIT));
    for (const table of tables.slice(0, MISSING_LIMIT)) memory.missing.delete(table / 4096);
    expect(run(machine, memory, root).missing).toEqual(tables.slice(MISSING_LIMIT));
  });

  test('C8 cycles end: each table is looked through once, not once for each way to it', () => {
    const machine = new Machine({ mode: '5-level' });
    for (let slot = 1n; slot < 512n; slot++) machine.put(0x5000n + slot * 8n, 0x5027n);
    machine.put(0x5000n, 0x6027n);
    const memory = new Watched(machine);
    memory.missing.add(6);
    expect(run(machine, memory, 0x5000n).missing).toEqual([0x6000]);
    expect(memory.reads).toBeLessThan(5 * 513);
    // The upper bound cuts a table of each level; those are looked through apart from the whole ones.
    memory.reads = 0;
    const bounds = { from: 0x0012_3456_789a_b000n, to: 0xffed_cba9_8765_4000n };
    machine.put(0x5000n + 8n * (bounds.from >> 48n), 0x6027n);
    expect(run(machine, memory, 0x5000n, bounds).missing).toEqual([0x6000 + 8 * 0x68]);
    expect(memory.reads).toBeLessThan(9 * 513);
  });

  test('what a cut table skips is found where the same table is whole', () => {
    const machine = new Machine({ mode: '4-level' });
    const directory = 0x70_0000n;
    const root = machine.chain(0n, 3, directory | 0x27n);
    machine.put(tableAt(3) + 8n, directory | 0x27n);
    machine.put(directory, 0x71_0027n | 0x1000n);
    machine.put(directory + 8n * 511n, 0x72_0027n | 0x1000n);
    const memory = new Watched(machine);
    memory.missing.add(0x711).add(0x721);
    expect(run(machine, memory, root, { from: 2n * MIB }).missing).toEqual([0x72_1000, 0x71_1000]);
    expect(run(machine, memory, root, { to: GIB + 2n * MIB }).missing).toEqual([0x71_1000, 0x72_1000]);
    expect(run(machine, memory, root, { to: 3n * MIB }).missing).toEqual([0x71_1000]);
    expect(run(machine, memory, root, { from: 2n * MIB, to: GIB }).missing).toEqual([0x72_1000]);
  });

  test('the two ways to go on give what one pass over local memory gives, through a cache of any size', () => {
    const machine = new Machine({ mode: '4-level' });
    const root = tableAt(4);
    // 40 directories of which each slot maps 0 to 2 pages: 40 + 40 + 2 tables, ranges that cross them, holes.
    machine.put(root, tableAt(3) | 0x27n);
    for (let directory = 0n; directory < 40n; directory++) {
      const [pd, pt] = [0x100_0000n + directory * 0x1000n, 0x200_0000n + directory * 0x1000n];
      machine.put(tableAt(3) + directory * 8n, pd | 0x27n);
      for (const slot of [0n, 511n]) machine.put(pd + slot * 8n, pt | 0x27n);
      for (const slot of [0n, 1n, 511n]) machine.put(pt + slot * 8n, (0x4000_0000n + slot * 0x1000n) | 0x27n);
    }
    const expected = lines(machine, root);
    expect(expected.length).toBeGreaterThan(100);

    for (const maxPages of [1, 5, 16, 4096]) {
      for (const goesOn of [true, false]) {
        const cache = new PageCache({ maxPages });
        let seen: string[] = [];
        let from = 0n;
        for (let rounds = 0; rounds < 1000; rounds++) {
          if (!goesOn) seen = [];
          try {
            for (const range of mappedRanges(machine.paging, cache, root, { from })) {
              seen.push(line(range));
              if (goesOn) from = range.va + BigInt(range.byteLength);
            }
            break;
          } catch (error) {
            for (const pa of (error as PtmonError).facts.missing!) {
              const page = machine.memory.page(Math.floor(pa / 4096));
              cache.put(Math.floor(pa / 4096), page === undefined ? null : new Uint8Array(page.buffer));
            }
          }
        }
        expect(seen).toEqual(expected);
      }
    }
  });

  test('no memory behind a missing table is no reason to stop', () => {
    const machine = new Machine({ mode: '4-level' });
    const root = machine.chain(0n, 3, 0x70_0027n);
    machine.put(tableAt(3) + 8n, 0x71_0027n);
    machine.put(tableAt(3) + 16n, 0x72_0027n);
    const memory: PhysicalMemory = {
      readEntry: (pa, byteLength, out) =>
        pa === 0x70_0000 || pa === 0x72_0000
          ? READ_NOT_FETCHED
          : pa === 0x71_0000
            ? READ_NO_MEMORY
            : machine.memory.readEntry(pa, byteLength, out),
    };
    expect(run(machine, memory, root).missing).toEqual([0x70_0000, 0x72_0000]);
  });
});
