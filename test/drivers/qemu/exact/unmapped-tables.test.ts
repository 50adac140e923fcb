import { expect, test } from 'vitest';
import { SparseMemory } from '../../../../src/core/memory/sparse-memory.ts';
import { makePaging } from '../../../../src/core/paging/format.ts';
import { unmappedTable } from '../../../../src/drivers/qemu/exact/aliases/unmapped-tables.ts';
import { WritableAliases } from '../../../../src/drivers/qemu/exact/aliases/writable-aliases.ts';

const ROOT = 0x10_0000;
const TABLE = 0x80_0000;
/** A page directory below the first entry of PAE's root, and one below its last. */
const DIRECTORIES = { low: 0x11_0000, high: 0x12_0000 };

/** A process with one page table, and a kernel's half that maps this much of memory in large pages. */
async function unmappedOf(mode: '32-bit' | 'pae', mappedBytes: number): Promise<number | undefined> {
  const memory = new SparseMemory();
  for (const pa of [ROOT, TABLE, ...Object.values(DIRECTORIES)]) memory.addPage(pa / 4096);
  const isPae = mode === 'pae';
  const put = (table: number, slot: number, value: number) =>
    isPae ? memory.writeU64(table + slot * 8, value, 0) : memory.writeU32(table + slot * 4, value);
  const { low, high } = isPae ? DIRECTORIES : { low: ROOT, high: ROOT };
  if (isPae) {
    put(ROOT, 0, low | 1);
    put(ROOT, 3, high | 1);
  }
  put(low, 0, TABLE | 7);
  put(TABLE, 5, 0x33_0000 | 5);
  const largeBytes = isPae ? 2 ** 21 : 2 ** 22;
  for (let at = 0; at < mappedBytes; at += largeBytes) put(high, (isPae ? 0 : 768) + at / largeBytes, at | 0x83);
  const paging = makePaging({ mode });
  return unmappedTable(
    paging,
    memory,
    ROOT,
    await WritableAliases.of(paging, memory, { root: ROOT, cr0: 0x8001_0001n }),
  );
}

test.each(['32-bit', 'pae'] as const)(
  '%s: the page table that the kernel has no lasting map of, if any',
  async (mode) => {
    expect(await unmappedOf(mode, 2 ** 24)).toBeUndefined();
    expect(await unmappedOf(mode, 2 ** 22)).toBe(TABLE);
  },
);
