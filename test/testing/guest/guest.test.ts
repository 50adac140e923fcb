import { describe, expect, test } from 'vitest';
import type { PagingModeName } from '../../../src/core/paging/modes.ts';
import { walk } from '../../../src/core/paging/walk.ts';
import type { SourceEvent } from '../../../src/driver/index.ts';
import {
  FRAME_ANON,
  FRAME_FREE,
  FRAME_KERNEL,
  FRAME_TABLE,
} from '../../../src/testing/guest/frames/frame-allocator.ts';
import { PAE_SELF_SLOT } from '../../../src/testing/guest/tables/layout.ts';
import { createSimDriver, type GuestAction, type SimDriver, type SimOptions } from '../../../src/testing/index.ts';

const MODES: readonly PagingModeName[] = ['4-level', '5-level', 'pae', '32-bit'];
const PAGE = 4096n;

async function runAll(
  options: SimOptions,
): Promise<{ driver: SimDriver; events: SourceEvent[]; actions: GuestAction[] }> {
  const driver = createSimDriver({ memoryFrames: 4096, ...options });
  const events: SourceEvent[] = [];
  const actions: GuestAction[] = [];
  driver.guest.observe({ action: (action) => actions.push(action) });
  for await (const batch of driver.run()) events.push(...batch);
  return { driver, events, actions };
}

/** The physical address behind a page, seen from a root; null where there is none. */
function paAt({ guest, machine }: SimDriver, root: number, vpn: number): number | null {
  const found = walk(guest.kernel.paging, machine.memory, root, BigInt(vpn) * PAGE);
  return found.translates ? found.pa : null;
}

/** Every page of every process, whether it is mapped or not. */
function* userPages({ guest }: SimDriver): Generator<{ roots: readonly number[]; vpn: number }> {
  for (const { roots, areas } of guest.processes) {
    for (const { va, byteLength } of areas) {
      for (let page = 0; page < byteLength / 4096; page++) yield { roots, vpn: Number(va / PAGE) + page };
    }
  }
}

describe.each(MODES)('in %s', (mode) => {
  test('every process sees the kernel’s memory, and sees it grow', async () => {
    const { driver } = await runAll({ mode, steps: 1500, seed: 3 });
    const { kernel, kernelProcess, processes } = driver.guest;
    expect(kernel.mappings.length).toBeGreaterThan(5);
    const { layout } = kernel;
    const inModules = kernel.mappings.filter(({ start }) => start >= layout.modules.start);
    expect(inModules.length).toBeGreaterThan(0);
    const devices = layout.deviceWindow === undefined ? [] : [[layout.deviceWindow + 5, 0xc0005]];
    const expected = [
      ...kernel.mappings.flatMap(({ start, frames }) => frames.map((gfn, page) => [start + page, gfn])),
      ...[1, 0x9f, 0x333].map((gfn) => [layout.directMap + gfn, gfn]),
      ...devices,
    ];
    for (const root of [...kernelProcess.roots, ...processes.map((one) => one.roots[0]!)]) {
      const found = expected.map(([vpn]) => [vpn, paAt(driver, root, vpn!)! / 4096]);
      expect(found).toEqual(expected);
    }
  });

  test('isolated, a process has two neighbouring roots: the user’s maps the same pages and next to nothing of the kernel', async () => {
    const { driver } = await runAll({ mode, steps: 600, seed: 4, isolation: true });
    const { kernel, processes } = driver.guest;
    const noExecute = kernel.paging.levels[0]!.noExecuteMask !== 0;
    const mapped = { kernel: [] as (number | null)[], user: [] as (number | null)[] };
    let executable = 0;
    for (const { roots, vpn } of userPages(driver)) {
      const found = walk(kernel.paging, driver.machine.memory, roots[0]!, BigInt(vpn) * PAGE);
      if (found.translates && !found.rights.noExecute) executable++;
      mapped.kernel.push(found.translates ? found.pa : null);
      mapped.user.push(paAt(driver, roots[1]!, vpn));
    }
    expect(mapped.user).toEqual(mapped.kernel);
    expect(mapped.user.filter((pa) => pa !== null).length).toBeGreaterThan(50);
    // The kernel could not run user code by mistake, where the root has a bit to say so.
    expect(executable > 0).toBe(!noExecute);
    for (const { roots } of processes) {
      expect([roots.length, roots[0]! % 8192, roots[1]! - roots[0]!]).toEqual([2, 0, 4096]);
      expect(paAt(driver, roots[1]!, kernel.layout.entryArea)).toBe(paAt(driver, roots[0]!, kernel.layout.entryArea));
      expect(paAt(driver, roots[1]!, kernel.layout.entryArea)).not.toBeNull();
      expect(paAt(driver, roots[1]!, kernel.layout.directMap)).toBeNull();
    }
  });

  test('with a self-map, the window shows the page table of every page, and of itself', async () => {
    const { driver } = await runAll({ mode, steps: 400, seed: 5, selfMap: true });
    const { paging, layout } = driver.guest.kernel;
    const { slots } = paging.byLevel[1]!;
    const window = (vpn: number) => layout.selfMap + Math.floor((vpn % 2 ** (paging.mode.vaBits - 12)) / slots);
    const expected: number[] = [];
    const shown: (number | null)[] = [];
    for (const { roots, vpn } of userPages(driver)) {
      const found = walk(paging, driver.machine.memory, roots[0]!, BigInt(vpn) * PAGE);
      if (!found.translates || found.pageSize > 4096) continue;
      // The window shows the page table; the window's own window shows the table one level up.
      const tables = found.steps.slice(-2).map(({ entryPa }) => entryPa - (entryPa % 4096));
      expected.push(...tables);
      shown.push(paAt(driver, roots[0]!, window(window(vpn))), paAt(driver, roots[0]!, window(vpn)));
    }
    expect(shown).toEqual(expected);
    expect(expected.length).toBeGreaterThan(100);
  });

  test('tables become data and other tables, and data becomes tables, soon', async () => {
    const driver = createSimDriver({ mode, steps: 500, seed: 6, memoryFrames: 2048 });
    const { frames } = driver.guest.kernel;
    const wereTables = new Set<number>();
    const wereData = new Set<number>();
    const became = { data: 0, table: 0 };
    for await (const _ of driver.run()) {
      for (const gfn of frames.ofKind(FRAME_TABLE)) if (wereData.delete(gfn)) became.table++;
      for (const gfn of wereTables) if (frames.kindOf(gfn) === FRAME_ANON && wereTables.delete(gfn)) became.data++;
      for (const gfn of frames.ofKind(FRAME_TABLE)) wereTables.add(gfn);
      for (const gfn of frames.ofKind(FRAME_KERNEL)) wereData.add(gfn);
      for (const gfn of frames.ofKind(FRAME_ANON)) wereData.add(gfn);
    }
    expect(became.data).toBeGreaterThan(5);
    expect(became.table).toBeGreaterThan(5);
  });

  test('a reset: all roots are gone, then everything may have changed, and the machine boots', async () => {
    const driver = createSimDriver({
      mode,
      seed: 8,
      steps: 260,
      resetEvery: 250,
      isolation: true,
      vcpus: 3,
      memoryFrames: 4096,
    });
    const { guest } = driver;
    let roots: number[] = [];
    let reset: readonly SourceEvent[] | undefined;
    for await (const batch of driver.run()) {
      const missed = batch.find((event) => event.kind === 'missed');
      if (missed !== undefined) {
        reset = batch;
        expect(missed).toEqual({ kind: 'missed', reason: 'reset', lost: null });
        expect(driver.machine.readRegisters(0).cr3).toBe(0n);
        for (const gfn of [roots[0]! / 4096, roots.at(-1)! / 4096]) {
          expect(driver.machine.page(gfn)!.every((word) => word === 0)).toBe(true);
        }
      }
      if (reset === undefined) roots = [...guest.processes.flatMap((one) => one.roots), ...guest.kernelProcess.roots];
    }
    expect(reset!.at(-1)!.kind).toBe('missed');
    const gone = reset!.filter((event) => event.kind === 'root-gone').map(({ root }) => root);
    expect(gone).toEqual(expect.arrayContaining(roots));
    expect(guest.processes.length).toBeGreaterThan(0);
    expect(walk(guest.kernel.paging, driver.memory, driver.machine.readRegisters(2).cr3, 0).root).not.toBe(0);
  });
});

describe('roots', () => {
  test.each([
    ['4-level', {}],
    ['4-level', { isolation: true }],
    ['pae', {}],
    ['pae', { selfMap: true, isolation: true }],
    ['32-bit', { isolation: true }],
  ] as const)('each that dies is reported once, when no process has it any more: %s %o', async (mode, options) => {
    const driver = createSimDriver({ mode, seed: 9, steps: 1500, memoryFrames: 4096, vcpus: 2, ...options });
    const { guest } = driver;
    const alive = new Set<number>();
    let gone = 0;
    for await (const batch of driver.run()) {
      const now = new Set(guest.processes.flatMap((one) => one.roots));
      for (const event of batch) {
        if (event.kind !== 'root-gone') continue;
        gone++;
        expect(now.has(event.root)).toBe(false);
        expect(alive.delete(event.root)).toBe(true);
        for (const vcpu of driver.machine.vcpus) expect(vcpu.root).not.toBe(event.root);
      }
      for (const root of now) alive.add(root);
    }
    expect(gone).toBeGreaterThan(10);
    const now = guest.processes.flatMap((one) => one.roots);
    expect([...alive].sort()).toEqual([...now].sort());
    expect(new Set(now).size).toBe(now.length);
  });

  test('T2 of PAE are 32 bytes apart in one frame', async () => {
    const { driver } = await runAll({ mode: 'pae', steps: 200 });
    const roots = driver.guest.processes.map((one) => one.roots[0]!);
    expect(new Set(roots.map((root) => Math.floor(root / 4096))).size).toBe(1);
    expect(roots.every((root) => root % 32 === 0)).toBe(true);
    expect(roots.length).toBeGreaterThan(3);
  });

  test('T2 are in CR3 beside a PCID, where the mode has them', async () => {
    const cr3s = new Set<bigint>();
    const driver = createSimDriver({ steps: 400, isolation: true, vcpus: 2, memoryFrames: 4096 });
    for await (const _ of driver.run()) {
      const { cr3 } = driver.registers.readRegisters(0);
      const { guest } = driver;
      const roots = new Set([...guest.processes, guest.kernelProcess].flatMap((one) => one.roots));
      const root = Number(cr3 & ~0xfffn);
      // Between two slots a vCPU may stand in a process that is on its way in or out.
      if (roots.has(root)) cr3s.add(cr3);
    }
    expect([...cr3s].some((cr3) => (cr3 & 0x1800n) === 0x1800n)).toBe(true);
    expect([...cr3s].some((cr3) => (cr3 & 0xfffn) !== 0n && (cr3 & 0x1800n) === 0n)).toBe(true);
  });
});

test('a self-map of PAE never shows a page directory that is freed', async () => {
  const driver = createSimDriver({ mode: 'pae', selfMap: true, seed: 3, steps: 500, vcpus: 2, memoryFrames: 4096 });
  const { kernel } = driver.guest;
  let shown = 0;
  for await (const _ of driver.run()) {
    for (const { kernelTable } of kernel.spaces) {
      driver.protection.setAccess(0, kernelTable! / 4096, 5);
      for (let n = 0; n < 4; n++) {
        kernel.memory.load(kernelTable! + (PAE_SELF_SLOT + n) * 8);
        const { lo, hi } = kernel.memory;
        if (lo & 1) shown += kernel.frames.kindOf(kernel.codec.gfnOf(lo, hi)) === FRAME_TABLE ? 1 : NaN;
      }
    }
  }
  expect(shown).toBeGreaterThan(1000);
});

describe('what is told of the guest', () => {
  test('processes have names, roots and areas, and none of them overlaps', async () => {
    const { driver } = await runAll({ steps: 800, seed: 2 });
    const { processes } = driver.guest;
    expect(processes.length).toBeGreaterThan(3);
    expect(new Set(processes.map((one) => one.pid)).size).toBe(processes.length);
    for (const { name, areas, busy } of processes) {
      expect(name).toMatch(/^[a-z0-9-]+$/);
      expect(busy).toBe(false);
      expect(areas.map((one) => one.name)).toEqual(expect.arrayContaining(['[heap]', '[stack]']));
      for (const [n, area] of areas.entries()) {
        const end = area.va + BigInt(area.byteLength);
        expect(n + 1 === areas.length || areas[n + 1]!.va >= end).toBe(true);
      }
    }
  });

  test('actions say who, what and where; the one a vCPU is in the middle of can be asked for', async () => {
    const driver = createSimDriver({ steps: 300, seed: 2, vcpus: 3, memoryFrames: 4096 });
    const { guest } = driver;
    const heard: GuestAction[] = [];
    const stop = guest.observe({
      action(action) {
        expect(guest.actionOn(action.vcpu)).toEqual(action);
        heard.push(action);
        if (heard.length === 200) stop();
      },
    });
    for await (const _ of driver.run());
    expect(heard).toHaveLength(200);
    for (const { step, vcpu, pid, name, action, va, pages } of heard) {
      expect([vcpu >= 0 && vcpu < 3, step > 0 && step <= 300, (pid === 0) === (name === 'kernel')]).toEqual([
        true,
        true,
        true,
      ]);
      if (action === 'fault' || action === 'munmap') expect([typeof va, typeof pages]).toEqual(['bigint', 'number']);
    }
    expect(heard.map((one) => one.step)).toEqual(heard.map((one) => one.step).sort((a, b) => a - b));
  });

  test('it ends after as many pieces of work as were asked for, and goes on where it was allowed more', async () => {
    const { driver } = await runAll({ steps: 123 });
    expect(driver.guest.finished).toBe(true);
    expect(driver.guest.kernel.log.step).toBe(123);
    driver.guest.allow(7);
    for await (const _ of driver.run());
    expect(driver.guest.kernel.log.step).toBe(130);
  });

  test('E7 the same seed says the same, byte for byte; another says something else', async () => {
    const said = async (seed: number) => {
      const driver = createSimDriver({
        seed,
        steps: 300,
        vcpus: 4,
        views: 2,
        memoryFrames: 3072,
        dmaEvery: 20,
        resetEvery: 200,
      });
      const lines: string[] = [];
      const line = (value: unknown) =>
        lines.push(JSON.stringify(value, (_, part: unknown) => (typeof part === 'bigint' ? `${part}` : part)));
      driver.guest.observe({ action: line });
      for await (const batch of driver.run()) {
        line(batch);
        for (const gfn of driver.guest.kernel.frames.ofKind(FRAME_TABLE)) driver.protection.setAccess(0, gfn, 5);
      }
      line(driver.guest.processes);
      return lines.join('\n');
    };
    const first = await said(21);
    expect(first.length).toBeGreaterThan(20_000);
    expect(await said(21)).toBe(first);
    expect(await said(22)).not.toBe(first);
  });
});

describe('memory pressure', () => {
  test.each(MODES)('in %s a small machine swaps and kills, and goes on', async (mode) => {
    const { driver, actions } = await runAll({ mode, memoryFrames: 1400, steps: 4000, seed: 12, vcpus: 2 });
    const done = new Set(actions.slice(-1000).map((one) => one.action));
    expect([...done]).toEqual(expect.arrayContaining(['fault', 'swap-out', 'swap-in', 'exit', 'spawn']));
    expect(driver.guest.kernel.frames.kindOf(0)).not.toBe(FRAME_FREE);
  });
});
