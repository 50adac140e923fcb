/** Where a root maps frames writable, of a guest that builds its tables against the search (rule C8). */
import { expect, test } from 'vitest';
import { SparseMemory } from '../../../../src/core/memory/sparse-memory.ts';
import { makePaging } from '../../../../src/core/paging/format.ts';
import { WritableAliases } from '../../../../src/drivers/qemu/exact/aliases/writable-aliases.ts';

const PAGING = makePaging({ mode: '4-level' });
const ROOT = 0x100_000;
const WRITABLE = 3;

/** A PML4 whose first `k` slots name itself, and a page table that maps the root at the start of the upper half. */
function knotted(k: number): SparseMemory {
  const memory = new SparseMemory();
  memory.addPage(ROOT / 4096);
  for (let slot = 0; slot < k; slot++) memory.writeU64(ROOT + 8 * slot, ROOT | 7, 0);
  let table = ROOT + 8 * 256;
  for (const next of [0x101_000, 0x102_000, 0x103_000]) {
    memory.writeU64(table, next | WRITABLE, 0);
    table = next;
  }
  memory.writeU64(0x103_000, ROOT | WRITABLE, 0);
  return memory;
}

test.each([0, 1, 32, 200])('%i slots of the lower half that name the root do not hide the upper half', async (k) => {
  const aliases = await WritableAliases.of(PAGING, knotted(k), { root: ROOT, cr0: 0x8001_0001n });
  expect(aliases.find(ROOT / 4096)).toContain(0xffff_8000_0000_0000n);
  expect(aliases.isComplete).toBe(true);
});

test.each([
  ['CR0.WP set: it may be no system’s root', 0x8001_0001n, false],
  ['CR0.WP clear, as firmware has it', 0x8000_0001n, true],
])('a root that maps its own table read-only, %s', async (_, cr0, isComplete) => {
  const memory = knotted(0);
  memory.writeU64(0x103_000, ROOT | 1, 0);
  const aliases = await WritableAliases.of(PAGING, memory, { root: ROOT, cr0 });
  expect(aliases.find(ROOT / 4096)).toEqual([0xffff_8000_0000_0000n]);
  expect(aliases.isComplete).toBe(isComplete);
});

test('tables that point at each other: timers go on, and an abort ends the search', async () => {
  const abort = new AbortController();
  let ticks = 0;
  const timer = setInterval(() => {
    ticks++;
    if (ticks === 3) abort.abort();
  }, 5);
  const memory = knotted(0);
  // As `knotted`, in the upper half, where many more tables may be read again.
  for (let slot = 257; slot < 400; slot++) memory.writeU64(ROOT + 8 * slot, ROOT | 7, 0);
  try {
    const search = WritableAliases.of(PAGING, memory, { root: ROOT, cr0: 0x8001_0001n }, abort.signal);
    await expect(search).rejects.toThrow('aborted');
  } finally {
    clearInterval(timer);
  }
});
