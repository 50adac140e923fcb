/** Many seeds, in every mode: memory is what programs left in it, and the guest's books agree with its page tables. */
import { describe, expect, test } from 'vitest';
import type { PagingModeName } from '../../../src/core/paging/modes.ts';
import { FRAME_TABLE } from '../../../src/testing/guest/frames/frame-allocator.ts';
import { createSimDriver, type SimDriver, type SimOptions } from '../../../src/testing/index.ts';
import { disagreements } from './inventory.ts';
import { MemoryModel } from './memory-model.ts';
import { soilMemory } from './stress.ts';

const MODES: readonly PagingModeName[] = ['4-level', '5-level', 'pae', '32-bit'];
const SEEDS = 50;
const ROUNDS = 3;
const STEPS = 80;

/** What varies with the seed, so that every combination comes up. */
function optionsFor(mode: PagingModeName, seed: number): SimOptions {
  return {
    mode,
    seed,
    steps: 0,
    memoryFrames: 3072,
    vcpus: 1 + (seed % 4),
    views: 1 + (seed % 3),
    isolation: seed % 2 === 1,
    selfMap: seed % 5 < 2,
    ...(seed % 7 === 0 && { resetEvery: 150 }),
    ...(seed % 3 === 0 && { dmaEvery: 9 }),
    ...(seed % 11 === 0 && mode === '4-level' && { encryptionMask: 1n << 47n }),
  };
}

/** Everything that is a table traps, in every view: what a monitor does that watches it all, and never lets go. */
function protectTables({ guest, machine }: SimDriver): void {
  for (const gfn of guest.kernel.frames.ofKind(FRAME_TABLE)) {
    for (const view of machine.views.numbers) machine.views.setAccess(view, gfn, 5);
  }
}

async function proceed(driver: SimDriver, trapping: boolean): Promise<void> {
  let batches = 0;
  for await (const _ of driver.run()) if (trapping && batches++ % 16 === 0) protectTables(driver);
}

describe.each(MODES)('a guest in %s', (mode) => {
  const seen = new Map<string, number>();
  const counts = { stored: 0, compared: 0, swapped: 0 };

  test.each(Array.from({ length: SEEDS }, (_, n) => n + 1))('is consistent with seed %d', async (seed) => {
    const driver = createSimDriver(optionsFor(mode, seed));
    soilMemory(driver);
    const model = new MemoryModel(driver);
    const { guest } = driver;
    const trapping = seed % 2 === 0;
    for (let round = 0; round < ROUNDS; round++) {
      guest.allow(STEPS);
      await proceed(driver, trapping);
      expect(disagreements(driver)).toEqual([]);
      expect(model.differences()).toEqual([]);
    }
    guest.shutdown();
    await proceed(driver, trapping);
    expect(guest.processes).toEqual([]);
    expect(guest.kernel.swap.used).toBe(0);
    // Of all frames, only the kernel's own tables, its code and the page of zeroes are in use.
    expect(disagreements(driver)).toEqual([]);
    expect(guest.kernel.mappings.length + guest.kernel.slabs.length).toBe(0);

    for (const [action, times] of model.actions) seen.set(action, (seen.get(action) ?? 0) + times);
    for (const key of ['stored', 'compared', 'swapped'] as const) counts[key] += model.counts[key];
  });

  test('has done everything that it can do', () => {
    const expected = (
      'boot cow collapse dma exec exit fault fork madvise migrate mmap mprotect mremap munmap reclaim reset slab spawn split ' +
      'swap-in swap-out vfree vmalloc'
    ).split(' ');
    expect([...seen.keys()].sort()).toEqual(expected.sort());
    for (const [what, count] of Object.entries(counts))
      expect(count, what).toBeGreaterThan(what === 'swapped' ? 20 : 10_000);
  });
});
