import { describe, expect, test } from 'vitest';
import { PageCache } from '../../src/core/memory/page-cache.ts';
import { PtmonError } from '../../src/core/error.ts';
import { findKernel } from '../../src/linux/kernel/find-kernel.ts';
import type { KernelSource } from '../../src/linux/kernel/kernel.ts';
import type { KernelCache, KernelPlaces } from '../../src/linux/kernel/kernel-places.ts';
import { Btf } from '../../src/linux/btf/btf.ts';
import { foreignFunctions } from '../../src/linux/btf/other-kernel.ts';
import { openLinux } from '../../src/linux/linux-guest.ts';
import { finish } from '../../src/linux/memory/steps.ts';
import { tableOf } from '../../src/linux/symbols/symbol-table.ts';
import { BtfWriter } from './btf-writer.ts';
import { type KernelPlan, MadeKernel } from './made-kernel.ts';
import { NEW } from './made-types.ts';

const BUILD_ID = '0123456789abcdef0123456789abcdef01234567';

describe('the kernel is found', () => {
  test.each<[name: string, plan: KernelPlan]>([
    ['where it was linked', {}],
    ['where KASLR has put it', { slide: 0x1360_0000n }],
    ['in 5-level paging', { mode: '5-level', slide: 0x20_0000n }],
    ['by a processor in user mode, under page-table isolation', { isolated: true }],
  ])('%s', async (_name, plan) => {
    const made = new MadeKernel(plan);
    const found = await findKernel(made.source());
    expect(found).toMatchObject({ base: made.base, basePa: 0x20_0000, buildId: BUILD_ID, initTask: made.initTask });
    expect(found.memory.root).toBe(made.kernelRoot);
  });

  test('in remote memory, a page at a time', async () => {
    const made = new MadeKernel();
    const cache = new PageCache({ maxPages: 16 });
    const { memory, ...source } = made.source();
    const remote: KernelSource = {
      ...source,
      memory: cache,
      remote: {
        fetch: async (addresses) => {
          for (const pa of addresses) {
            const gfn = Math.floor(pa / 4096);
            const page = made.memory.page(gfn);
            cache.put(gfn, page ? new Uint8Array(page.buffer, page.byteOffset, 4096) : null);
          }
        },
      },
    };
    void memory;
    made.makeProcess({ pid: 7, comm: 'far', areas: [{ start: 0x1000n, end: 0x2000n }] });
    const linux = await openLinux(remote);
    expect(linux.kernel.initTask).toBe(made.initTask);
    expect((await linux.processes()).processes.map(({ command }) => command)).toEqual(['far']);
    expect((await linux.map(7)).areas.map(({ start }) => start)).toEqual([0x1000n]);
  });
});

/** A cache that is looked into. */
function cacheOf(places: readonly KernelPlaces[]): KernelCache & { readonly added: KernelPlaces[] } {
  const added: KernelPlaces[] = [];
  return { all: () => places, add: (found) => void added.push(found), added };
}

describe('types from a file', () => {
  const writer = new BtfWriter();
  for (let at = 0; at < 1000; at++) writer.function(`function_${at}`);
  const types = new Btf(writer.bytes());
  const symbols = (count: number) =>
    tableOf(
      Array.from({ length: count }, (_, at) => ({
        ...{ address: 0xffff_ffff_8100_0000n + BigInt(at * 16), type: 'T', name: `function_${at}`, module: null },
      })),
      1n << 63n,
    );

  test.each([
    [1000, undefined],
    // Those of `.exit.text` have no symbols.
    [995, undefined],
    [994, 'of their 1000 functions this kernel has no 6, as function_994'],
  ])('are of another kernel if it has not their functions: it has %i', (count, expected) => {
    expect(finish(foreignFunctions(types, symbols(count)))).toBe(expected);
  });

  test('are not used where the kernel has its own, and it is said', async () => {
    const warnings: string[] = [];
    const made = new MadeKernel();
    const linux = await openLinux(made.source(), { types, onWarning: (warning) => warnings.push(warning) });
    expect(linux.kernel.initTask).toBe(made.initTask);
    expect(warnings).toEqual([expect.stringMatching(/own types.*--btf\) are not used/)]);
  });
});

describe('what is remembered of a build', () => {
  test('is used where all is as it was, wherever KASLR has put it since', async () => {
    const first = cacheOf([]);
    await findKernel(new MadeKernel().source(), { cache: first });
    expect(first.added).toMatchObject([{ buildId: BUILD_ID }]);
    const made = new MadeKernel({ slide: 0x40_0000n });
    // Of what is not looked at any more.
    for (let at = 0n; at < 4096n; at += 8n) made.put(made.base + at, 0n);
    const second = cacheOf(first.added);
    expect((await findKernel(made.source(), { cache: second })).initTask).toBe(made.initTask);
    expect(second.added).toEqual([]);
  });

  test.each<[what: string, lie: Partial<KernelPlaces>]>([
    ['the build id', { buildId: 'ff'.repeat(20) }],
    ['where it stands', { note: 8 }],
    ['where BTF is', { btf: 16 }],
    ['where BTF is, beyond the image', { btf: 2 ** 50 }],
    ['where the first task is', { initTask: 4096 }],
    ['where the root is', { kernelRoot: 4096 }],
  ])('is passed over where it is wrong: %s', async (_what, lie) => {
    const first = cacheOf([]);
    const made = new MadeKernel();
    const { initTask } = await findKernel(made.source(), { cache: first });
    const [truth] = first.added;
    const second = cacheOf([{ ...truth!, ...lie }]);
    expect((await findKernel(made.source(), { cache: second })).initTask).toBe(initTask);
    expect(second.added).toEqual(first.added);
  });
});

describe('where there is no kernel to be found, it is said why', () => {
  const off = { cr0: 1n, cr3: 0n, cr4: 0n, efer: 0n };
  const registersOf = (registers: typeof off) => ({ vcpuCount: 1, readRegisters: () => registers });

  test.each<[what: string, source: () => KernelSource, expected: RegExp]>([
    ['no registers', () => ({ memory: new MadeKernel().memory }), /this source has no registers/],
    ['paging off', () => ({ ...new MadeKernel().source(), registers: registersOf(off) }), /paging is off on vCPU 0/],
    [
      '32-bit paging',
      () => ({ ...new MadeKernel().source(), registers: registersOf({ ...off, cr0: 0x8000_0001n }) }),
      /no code is mapped where Linux has its kernel/,
    ],
    [
      'another system',
      () => {
        const made = new MadeKernel();
        made.memory.writeU64(made.loadedRoot + 511 * 8, 0, 0);
        return made.source();
      },
      /no code is mapped where Linux has its kernel/,
    ],
    [
      'no BTF',
      () => new MadeKernel({ btf: (real) => real.fill(0) }).source(),
      /a kernel is mapped at 0xffffffff81000000, but no type information \(BTF\) was found in it.*it needs --btf FILE/,
    ],
    [
      'no BTF, and in user mode of an isolated process, where no kernel is',
      () => new MadeKernel({ btf: (real) => real.fill(0), isolated: true }).source(),
      /^no Linux kernel can be read: in the address space of root 0x\w+, a kernel is mapped[^;]*$/,
    ],
    [
      'BTF with a type of the future',
      () => new MadeKernel({ btf: withKind(27) }).source(),
      /has a type of unknown kind 27/,
    ],
    [
      'BTF that knows no tasks',
      () => new MadeKernel({ vintage: { ...NEW, without: ['task_struct.comm'] } }).source(),
      /has no task_struct.comm/,
    ],
    [
      'no first task yet',
      () => {
        const made = new MadeKernel();
        made.put(made.initTask + made.at('task_struct.comm'), 0n);
        return made.source();
      },
      /its first task was not found/,
    ],
  ])('%s', async (_what, source, expected) => {
    const failure = await findKernel(source()).then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(failure).toBeInstanceOf(PtmonError);
    expect(failure).toMatchObject({ code: 'source-unavailable', message: expect.stringMatching(expected) as string });
  });

  test('types from elsewhere take the place of those that a kernel lacks', async () => {
    let real = new Uint8Array();
    const made = new MadeKernel({
      btf: (bytes) => {
        real = bytes.slice();
        return bytes.fill(0);
      },
    });
    const cache = cacheOf([]);
    const found = await findKernel(made.source(), { types: new Btf(real), cache });
    expect(found.initTask).toBe(made.initTask);
    // Without them it would not be found again.
    expect(cache.added).toEqual([]);
  });

  test.each([
    ['list_head', 8, /words of 64 bits, has one of 16/],
    ['pgprot', 4, /page-table entries of 64 bits, has one of 8/],
  ])('types whose %s has %i bytes are of another kernel', async (name, byteLength, expected) => {
    const types = new BtfWriter();
    types.structure(name, byteLength, []);
    const made = new MadeKernel({ btf: (bytes) => bytes.fill(0) });
    const failure: unknown = await findKernel(made.source(), { types: new Btf(types.bytes()) }).catch((error) => error);
    expect(failure).toMatchObject({ code: 'source-unavailable', message: expect.stringMatching(expected) as string });
  });

  test('without names of files there is still the rest', async () => {
    const made = new MadeKernel({ vintage: { ...NEW, without: ['dentry.d_parent'] } });
    made.makeProcess({ pid: 7, comm: 'it', areas: [{ start: 0x1000n, end: 0x2000n, file: made.makeFile('/x') }] });
    const linux = await openLinux(made.source());
    expect((await linux.processes()).faults).toEqual([]);
    expect(await linux.map(7)).toMatchObject({
      areas: [{ start: 0x1000n, name: '' }],
      faults: [expect.stringContaining('no file has a name: ') as string],
    });
  });

  test('a kernel whose BTF lacks a member that a process is told by names it', async () => {
    const made = new MadeKernel({ vintage: { ...NEW, without: ['task_struct.real_cred', 'cred.euid'] } });
    await expect(openLinux(made.source())).rejects.toThrow(/has no task_struct.real_cred/);
  });
});

/** The last type of another kind. */
function withKind(kind: number) {
  return (real: Uint8Array): Uint8Array => {
    const typesLength = new DataView(real.buffer, real.byteOffset).getUint32(12, true);
    const changed = real.slice();
    new DataView(changed.buffer).setUint32(24 + typesLength - 12 + 4, kind << 24, true);
    return changed;
  };
}
