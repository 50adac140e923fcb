import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PtmonError } from '../../../src/core/error.ts';
import { READ_NO_MEMORY, READ_OK } from '../../../src/core/memory/physical-memory.ts';
import { SparseMemory } from '../../../src/core/memory/sparse-memory.ts';

const TOP = 2 ** 52 - 4096;

function read(memory: SparseMemory, pa: number, byteLength: 4 | 8 = 8) {
  const out = new Uint32Array([0x1111, 0x2222]);
  const outcome = memory.readEntry(pa, byteLength, out);
  return { outcome, out: [...out] };
}

describe('SparseMemory: what is RAM', () => {
  test('nothing at first; out is untouched', () => {
    const memory = new SparseMemory();
    for (const pa of [0, 0x1000, 2 ** 32, TOP]) {
      expect(read(memory, pa)).toEqual({ outcome: READ_NO_MEMORY, out: [0x1111, 0x2222] });
      expect(memory.page(pa / 4096)).toBeUndefined();
    }
  });

  test('a page that is added is zeroed, and stays as it is when added again', () => {
    const memory = new SparseMemory();
    expect(read(memory, 0x5000).outcome).toBe(READ_NO_MEMORY);
    const page = memory.addPage(5);
    expect(page).toHaveLength(1024);
    expect(read(memory, 0x5ff8)).toEqual({ outcome: READ_OK, out: [0, 0] });
    page[1023] = 7;
    expect(memory.addPage(5)).toBe(page);
    expect(read(memory, 0x5ff8)).toEqual({ outcome: READ_OK, out: [0, 7] });
    expect(read(memory, 0x4ff8).outcome).toBe(READ_NO_MEMORY);
    expect(read(memory, 0x6000).outcome).toBe(READ_NO_MEMORY);
  });

  test('a page that is removed is gone, and comes back zeroed', () => {
    const memory = new SparseMemory();
    memory.writeU32(0x5000, 9);
    expect(read(memory, 0x5000, 4).out).toEqual([9, 0]);
    memory.removePage(5);
    expect(read(memory, 0x5000, 4).outcome).toBe(READ_NO_MEMORY);
    memory.removePage(5);
    memory.addPage(5);
    expect(read(memory, 0x5000, 4)).toEqual({ outcome: READ_OK, out: [0, 0] });
  });

  test('pages are live', () => {
    const memory = new SparseMemory();
    const page = memory.addPage(1);
    memory.addPage(2);
    page[2] = 0xdead;
    expect(read(memory, 0x1008, 4).out).toEqual([0xdead, 0]);
    memory.writeU32(0x1008, 0xbeef);
    expect(page[2]).toBe(0xbeef);
  });
});

describe('SparseMemory: entries', () => {
  test.each([0, 0xff8, 2 ** 32 - 8, 2 ** 32, TOP, TOP + 0xff8])('8 bytes at %i', (pa) => {
    const memory = new SparseMemory();
    memory.writeU64(pa, 0x89ab_cdef, 0xfedc_ba98);
    expect(read(memory, pa)).toEqual({ outcome: READ_OK, out: [0x89ab_cdef, 0xfedc_ba98] });
    expect(read(memory, pa, 4)).toEqual({ outcome: READ_OK, out: [0x89ab_cdef, 0] });
    expect(read(memory, pa + 4, 4)).toEqual({ outcome: READ_OK, out: [0xfedc_ba98, 0] });
  });

  test.each([0, 0xffc, 2 ** 32 - 4, TOP + 0xffc])('4 bytes at %i, and no more', (pa) => {
    const memory = new SparseMemory();
    memory.writeU32(pa, 0x89ab_cdef);
    expect(read(memory, pa, 4)).toEqual({ outcome: READ_OK, out: [0x89ab_cdef, 0] });
    const page = memory.page(Math.floor(pa / 4096))!;
    expect(page.filter((word) => word !== 0)).toHaveLength(1);
  });
});

describe('SparseMemory: writes of any bytes', () => {
  test('within a page, across pages, and nothing else', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 3 * 4096 }),
        fc.uint8Array({ maxLength: 4096 * 2 + 100 }),
        fc.constantFrom(0, 2 ** 32 - 4096 * 2, 2 ** 52 - 4096 * 6),
        (offset, bytes, base) => {
          const memory = new SparseMemory();
          const flat = new Uint8Array(4096 * 6);
          for (let frame = 0; frame < 6; frame++) memory.addPage(base / 4096 + frame);
          memory.write(base + offset, bytes);
          flat.set(bytes, offset);
          for (let frame = 0; frame < 6; frame++) {
            const page = memory.page(base / 4096 + frame)!;
            expect(Buffer.compare(new Uint8Array(page.buffer), flat.subarray(frame * 4096, (frame + 1) * 4096))).toBe(
              0,
            );
          }
        },
      ),
      { numRuns: 100 },
    );
  });

  test('little-endian, as the guest is', () => {
    const memory = new SparseMemory();
    memory.addPage(0);
    memory.write(8, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
    expect(read(memory, 8)).toEqual({ outcome: READ_OK, out: [0x0403_0201, 0x0807_0605] });
  });

  test('no bytes anywhere is no write', () => {
    const memory = new SparseMemory();
    expect(() => memory.write(0x7777, new Uint8Array(0))).not.toThrow();
  });

  test('what is not RAM is refused by its name', () => {
    const memory = new SparseMemory();
    memory.addPage(1);
    const attempt = () => memory.write(0x1ffe, Uint8Array.of(1, 2, 3, 4));
    expect(attempt).toThrow(PtmonError);
    expect(attempt).toThrow('write to 0x2000, which is not RAM');
    expect(attempt).toThrow(expect.objectContaining({ code: 'bad-argument', facts: { gfn: 2 } }));
    expect(() => memory.write(0x2fff, Uint8Array.of(1, 2))).toThrow('write to 0x2fff, which is not RAM');
  });
});
