/** Several vCPUs in the middle of the same thing: the guest's locks hold, and nothing is lost or done twice. */
import { describe, expect, test } from 'vitest';
import type { PagingModeName } from '../../../src/core/paging/modes.ts';
import { splitDirectMap, vfree, vmalloc } from '../../../src/testing/guest/actions/kernel-mappings.ts';
import { collapseSmallPages, splitSomeLargePage } from '../../../src/testing/guest/actions/large.ts';
import { exit, fork, spawn } from '../../../src/testing/guest/actions/process-life.ts';
import { swapOut } from '../../../src/testing/guest/actions/reclaim.ts';
import { touchMemory } from '../../../src/testing/guest/actions/touch.ts';
import { madvise, mmap, mprotect, mremap } from '../../../src/testing/guest/actions/mapping.ts';
import type { ProcessAction } from '../../../src/testing/guest/actions/action-kind.ts';
import type { Cpu } from '../../../src/testing/guest/kernel.ts';
import type { Area } from '../../../src/testing/guest/space/area-list.ts';
import { mayBeLarge } from '../../../src/testing/guest/mm/large-page.ts';
import { touch } from '../../../src/testing/guest/mm/page-fault.ts';
import { anonymousArea } from '../../../src/testing/guest/space/area-list.ts';
import type { Process } from '../../../src/testing/guest/space/process.ts';
import { FOR_EXECUTE, FOR_WRITE, type Steps } from '../../../src/testing/index.ts';
import { disagreements, kernelHalves } from './inventory.ts';
import { stress } from './stress.ts';

const MODES: readonly PagingModeName[] = ['4-level', '5-level', 'pae', '32-bit'];
const SEEDS = [1, 2, 3, 4, 5];
const VCPUS = 8;

describe.each(MODES)('in %s', (mode) => {
  const done = new Map<string, number>();

  test.each(SEEDS)('the kernel half grows while processes begin and end (seed %d)', async (seed) => {
    const { stressed, together } = await stress({
      options: { mode, seed, vcpus: VCPUS, memoryFrames: 4096, selfMap: seed % 2 === 0, isolation: seed % 3 === 0 },
      kernel: [spawn, spawn, vmalloc, vmalloc, vfree, splitDirectMap],
      process: [exit],
      before: [spawn, spawn],
      steps: 300,
    });
    expect(together).toBeGreaterThan(2);
    expect(disagreements(stressed)).toEqual([]);
    const halves = kernelHalves(stressed);
    expect(halves.length).toBeGreaterThan(4);
    for (const half of halves.slice(1)) expect(half).toEqual(halves[0]);
  });

  test.each(SEEDS)('threads of two processes fault on the same pages (seed %d)', async (seed) => {
    const { stressed, model, together } = await stress({
      options: { mode, seed, vcpus: VCPUS, memoryFrames: 6144, selfMap: seed % 2 === 0, isolation: seed % 3 === 0 },
      process: [
        ...times(24, touchMemory),
        ...times(24, touchText),
        fork,
        splitSomeLargePage,
        collapseSmallPages,
        swapOut,
      ],
      before: [spawn, fork],
      steps: 500,
    });
    expect(together).toBeGreaterThan(2);
    expect(disagreements(stressed)).toEqual([]);
    expect(model.differences()).toEqual([]);
  });

  test.each(SEEDS)(
    'all threads touch the same empty memory at once, where a large page fits (seed %d)',
    async (seed) => {
      const { stressed, model } = await stress({
        options: { mode, seed, vcpus: VCPUS, memoryFrames: 10_000, isolation: seed % 2 === 0 },
        process: [writeLarge],
        before: [spawn, mmapLarge],
        steps: 30,
        onlyTables: true,
      });
      expect(disagreements(stressed)).toEqual([]);
      expect(model.differences()).toEqual([]);
    },
  );

  test.each(SEEDS)('large pages are shared, split, swapped around and put together again (seed %d)', async (seed) => {
    const { stressed, model } = await stress({
      // Few vCPUs, or the lock would never be free for what needs all of the space.
      options: { mode, seed, vcpus: 3, memoryFrames: 10_000, isolation: seed % 2 === 0 },
      process: [
        ...times(20, writeLarge),
        ...times(12, touchMemory),
        ...times(5, collapseSmallPages),
        ...times(4, insist(swapOut)),
        fork,
        madvise,
        ...times(4, insist(mremap)),
        mprotect,
        exit,
      ],
      before: [spawn, mmapLarge, ...times(3, writeLarge), collapseSmallPages, fork],
      steps: 600,
    });
    expect(disagreements(stressed)).toEqual([]);
    expect(model.differences()).toEqual([]);
    for (const [action, count] of model.actions) done.set(action, (done.get(action) ?? 0) + count);
  });

  test('and all of that has happened', () => {
    for (const action of ['split', 'collapse', 'cow', 'swap-out', 'swap-in', 'mremap', 'fork']) {
      expect(done.get(action) ?? 0, action).toBeGreaterThan(0);
    }
  });
});

/** The same, but it looks for something to do it to until it finds some. */
function insist(action: ProcessAction): ProcessAction {
  return {
    ...action,
    begin(cpu, process) {
      let steps: Steps | undefined;
      for (let n = 0; n < 40 && steps === undefined; n++) steps = action.begin(cpu, process);
      return steps;
    },
  };
}

function times<T>(count: number, action: T): T[] {
  return Array.from({ length: count }, () => action);
}

/** Room for two large pages at least. */
const mmapLarge: ProcessAction = {
  ...mmap,
  *begin({ kernel: { layout, paging } }: Cpu, { space }: Process) {
    const pages = 3 * paging.byLevel[2]!.slotPages;
    space.areas.add(
      anonymousArea('[anon: large]', space.areas.gap(pages, { top: layout.mapTop, bottom: layout.text }), pages),
    );
  },
};

/** Writes to one of a few pages of a large one. */
const writeLarge: ProcessAction = {
  ...touchMemory,
  begin(cpu: Cpu, process: Process) {
    const { kernel } = cpu;
    const large = kernel.paging.byLevel[2]!.slotPages;
    const baseOf = (area: Area) => Math.ceil(area.start / large) * large;
    const areas = process.space.areas.all.filter((one) => one.readable && mayBeLarge(kernel, one, baseOf(one)));
    if (areas.length === 0) return undefined;
    const base = baseOf(kernel.random.pick(areas));
    return write(cpu, process, base + kernel.random.below(4));
  },
};

function* write(cpu: Cpu, process: Process, vpn: number): Steps {
  const { kernel, vcpu } = cpu;
  const gfn = yield* touch(cpu, process, vpn, FOR_WRITE);
  const bytes = Uint8Array.of(kernel.random.next());
  const offset = kernel.random.below(64);
  const landed = () => kernel.log.stored(process, vpn, offset, bytes);
  if (kernel.machine.write(vcpu, gfn * 4096 + offset, bytes, landed)) yield;
}

/** Executes one of the first pages of the program. */
const touchText: ProcessAction = {
  ...touchMemory,
  begin(cpu: Cpu, process: Process) {
    const { kernel } = cpu;
    const text = process.space.areas.all.find((area) => area.executable)!;
    return execute(cpu, process, text.start + kernel.random.below(6));
  },
};

function* execute(cpu: Cpu, process: Process, vpn: number): Steps {
  yield* touch(cpu, process, vpn, FOR_EXECUTE);
}
