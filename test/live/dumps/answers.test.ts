/** What is asked of one dump: its map, its differences from another one, its roots; beside QEMU's and the guest's own answers. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { openDump } from '../../../src/drivers/dump/index.ts';
import { pagesOf, type PagesReport } from '../../../src/drivers/qemu/launch/workload-report.ts';
import { findAddressSpace, findRoots } from '../../../src/snapshot/index.ts';
import { attach } from '../../../src/guest/index.ts';
import { parse } from '../../cli/run.ts';
import { callsOf, whatGoesWrong } from '../../guest/strange-arguments.ts';
import { addressesOf, bootBusyGuest, hex, registersOf, VA } from './busy-guest.ts';
import { DumpedGuest, runWith } from './dumped-guest.ts';
import { leftOut } from '../real-guest.ts';

const isLeftOut = leftOut('test/live/dumps/answers, dumps of a real guest');
const folder = isLeftOut ? '' : mkdtempSync(join(tmpdir(), 'ptmon-dumps-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const path = (name: string) => join(folder, name);

describe.skipIf(isLeftOut)('P3 answers about a real guest with 4-level paging', { timeout: 240_000 }, () => {
  let machine: DumpedGuest;
  let vcpu: number;
  const select = () => ['--vcpu', String(vcpu)];

  beforeAll(async () => {
    machine = await bootBusyGuest();
    vcpu = await machine.pause();
    await machine.dump(path('elf'));
  }, 240_000);
  afterAll(() => machine?.stop());

  test('a search through raw memory is sure of the roots that processors have, and of the mode', async () => {
    const dump = await openDump(machine.guest.ramFile);
    onTestFinished(() => dump.close());
    const roots = await findRoots(dump);
    const sure = roots.filter(({ confidence }) => confidence === 'sure');
    expect(new Set(sure.map(({ mode }) => mode))).toEqual(new Set(['4-level']));
    for (const at of [0, 1]) {
      const { cr3 } = await registersOf(path('elf'), at);
      expect(sure.map(({ root }) => hex(root))).toContain(hex(cr3 & 0xf_ffff_ffff_f000n));
    }
    expect(roots[0]).toMatchObject({ confidence: 'sure', userEntries: 0 });
  });

  test('each call of a script on the dump works or is refused, never a TypeError, never without an end', async () => {
    const guest = await attach(path('elf'));
    onTestFinished(() => guest.close());
    // Its child has its name.
    const workload = await guest.process(machine.guest.workload.hello!.pid);
    expect((await workload.maps()).areas.map(({ name }) => name)).toContain('[heap]');
    expect(Buffer.from(await workload.read(0x40_0000n, 4)).toString('latin1')).toBe('\u007fELF');
    expect(await whatGoesWrong(callsOf(guest, workload))).toEqual([]);
  });

  test("ptmon map is QEMU's info mem, range by range, and its info tlb, page by page", async () => {
    const { stdout } = await runWith(['map', path('elf'), '--json', ...select()]);
    const [mem, tlb] = await machine.asking(async (qmp) => [
      await qmp.humanMonitor('info mem', { vcpu }),
      await qmp.humanMonitor('info tlb', { vcpu }),
    ]);
    expect(asInfoMem(parse(stdout).slice(1, -1) as unknown as RangeLine[])).toEqual(mem.trim().split(/\r?\n/));
    const pages: string[] = [];
    for (const size of ['4K', '2M', '1G'] as const) {
      const runs = await runWith(['map', path('elf'), '--json', '--runs', '--page-size', size, ...select()]);
      pages.push(...leavesOf(parse(runs.stdout).slice(1, -1) as unknown as RangeLine[]));
    }
    const theirs = tlb.trim().split(/\r?\n/).map(plainLeaf);
    process.stdout.write(`info mem: ${mem.trim().split('\n').length} ranges; info tlb: ${theirs.length} leaves\n`);
    expect(pages.sort()).toEqual(theirs.sort());
  });

  test('ptmon diff of two dumps is what the workload did in between, with the frames', async () => {
    await machine.resume();
    const va = VA + 0x1_0000_0000n;
    const [at, end] = [hex(va), hex(va + 0x100_0000n)];
    const huge = va + 0x80_0000n;
    const page = (index: bigint) => hex(va + index * 4096n);
    await machine.commands(
      'child exit',
      `map 64 small at=${at}`,
      `touch ${at} 32`,
      `map 512 huge at=${hex(huge)}`,
      `touch ${hex(huge)} 512`,
      `fork ${page(24n)} 4`,
      // The child shares all pages; these are the workload's own again.
      `touch ${at} 24`,
    );
    const look = async () =>
      (await machine.commands(`look ${at} 64`, `look ${hex(huge)} 512`)).filter(
        ({ kind }) => kind === 'pages',
      ) as PagesReport[];
    const before = framesOf(await look());
    vcpu = await machine.pause();
    await machine.dump(path('before'));
    await machine.resume();
    await machine.commands(
      `touch ${page(40n)} 8`,
      `dontneed ${page(0n)} 4`,
      `mprotect ${page(8n)} 4 r`,
      `swapout ${page(16n)} 4`,
      `cow ${page(24n)} 4`,
      `split ${hex(huge)}`,
    );
    const after = framesOf(await look());
    const vcpuAfter = await machine.pause();
    await machine.dump(path('after'), { format: 'kdump-zlib' });

    const args = ['--root', hex(machine.root), '--va', `${at}-${end}`, '--json', '--pages', '--vcpu', String(vcpu)];
    const { code, stdout } = await runWith(['diff', path('before'), path('after'), ...args]);
    expect(code).toBe(1);
    const said = parse(stdout).slice(0, -1);
    const backing = said.filter(({ kind }) => kind === 'page-in' || kind === 'page-out');
    const moves: string[] = [];
    for (const [va, frame] of after) {
      const was = before.get(va) ?? null;
      if (was === frame) continue;
      if (was !== null) moves.push(`page-out ${hex(va)} ${hex(was * 4096)}`);
      if (frame !== null) moves.push(`page-in ${hex(va)} ${hex(frame * 4096)}`);
    }
    expect(moves.length).toBeGreaterThanOrEqual(8 + 4 + 4 + 4);
    expect(backing.map(({ kind, va, pa }) => `${String(kind)} ${String(va)} ${String(pa)}`)).toEqual(moves);
    const others = (wanted: string) => said.filter(({ kind }) => kind === wanted).map(({ va }) => va);
    // A page that two processes shared is writable again for the one that is left with it, or copied.
    const rights = others('protection').filter((va) => !range(va, page(24n), 4));
    expect(rights).toEqual([8n, 9n, 10n, 11n].map(page));
    expect(others('restructure')).toEqual(Array.from({ length: 512 }, (_, index) => hex(huge + BigInt(index) * 4096n)));

    // Against the guest itself, which stands still, and against another dump of the same moment.
    const { qmpPath, gdbPath } = machine.guest;
    const live = await runWith([
      'diff',
      path('before'),
      ...args.slice(0, -2),
      '--vcpu',
      String(vcpuAfter),
      '--qmp',
      qmpPath,
      '--gdb',
      gdbPath,
    ]);
    expect(live.stdout === stdout).toBe(true);
    await machine.dump(path('again'));
    const none = await runWith(['diff', path('after'), path('again'), '--root', hex(machine.root)]);
    expect(none).toMatchObject({ code: 0, stdout: 'no differences\n' });
    await machine.resume();
  });

  // QEMU takes a minute to write it.
  test.skipIf(process.env['PTMON_LONG'] === undefined)(
    'a dump with paging of more pieces than ELF can count otherwise',
    async () => {
      // The page of zeroes, mapped so often, is a piece of its own each time.
      const va = VA + 0x2_0000_0000n;
      await machine.commands(`map 66000 small at=${hex(va)}`, `read ${hex(va)} 66000`);
      vcpu = await machine.pause();
      await machine.dump(path('many'), { paging: true });
      expect(readFileSync(path('many')).readUInt16LE(56)).toBe(0xffff);
      const two = [hex(va + 4096n), hex(va + 65_999n * 4096n + 5n)];
      const { qmpPath, gdbPath } = machine.guest;
      const [dumped, live] = [
        await runWith(['translate', path('many'), ...two, ...select()]),
        await runWith(['translate', ...two, ...select(), '--qmp', qmpPath, '--gdb', gdbPath]),
      ];
      expect(dumped.stdout).toBe(live.stdout);
      const { stdout } = await runWith(['map', path('many'), '--runs', '--va', `${hex(va)}+1G`, ...select()]);
      expect(stdout).toContain(' each\n\n1 range, 1 physical run: ');
      await machine.resume();
    },
  );
});

describe.skipIf(isLeftOut)('P3 dumps of a real guest with 5-level paging', { timeout: 120_000 }, () => {
  test('translate as it does, and a search finds its mode', async () => {
    const machine = await DumpedGuest.boot({ cpu: 'max', memoryMiB: 192 });
    onTestFinished(() => machine.stop());
    const vcpu = await machine.pause();
    await machine.dump(path('elf-57'));
    await machine.dump(path('kdump-57'), { format: 'kdump-zlib' });
    const dump = await openDump(path('elf-57'));
    onTestFinished(() => dump.close());
    const space = await findAddressSpace(dump, { vcpu });
    expect(space.paging.mode.name).toBe('5-level');
    const addresses = addressesOf(dump, space).filter((_, index) => index % 5 === 0);
    const { qmpPath, gdbPath } = machine.guest;
    const live = await runWith(['translate', '-', '--json', '--qmp', qmpPath, '--gdb', gdbPath], addresses);
    expect(parse(live.stdout).length).toBe(addresses.length);
    for (const name of ['elf-57', 'kdump-57']) {
      expect((await runWith(['translate', path(name), '-', '--json'], addresses)).stdout === live.stdout, name).toBe(
        true,
      );
    }
    const { stdout } = await runWith(['roots', machine.guest.ramFile, '--json']);
    const sure = parse(stdout).filter(({ confidence }) => confidence === 'sure');
    expect(new Set(sure.map(({ mode }) => mode))).toEqual(new Set(['5-level']));
    expect(sure.map(({ root }) => root)).toContain(hex(machine.root));
  });
});

interface RangeLine {
  readonly va: string;
  readonly pages: number;
  readonly pa: string;
  readonly repeats?: boolean;
  readonly sizes: readonly { readonly pageSize: number }[];
  readonly rights: { readonly writable: boolean; readonly user: boolean };
}

/** Ranges with the same U/S and R/W bits in one, as QEMU prints them: target/i386/monitor.c, mem_print. */
function asInfoMem(ranges: readonly RangeLine[]): string[] {
  const merged: { start: bigint; end: bigint; rights: string }[] = [];
  for (const { va, pages, rights } of ranges) {
    const [start, letters] = [BigInt(va), `${rights.user ? 'u' : '-'}r${rights.writable ? 'w' : '-'}`];
    const last = merged.at(-1);
    const end = start + BigInt(pages) * 4096n;
    if (last !== undefined && last.end === start && last.rights === letters) last.end = end;
    else merged.push({ start, end, rights: letters });
  }
  const digits = (value: bigint) => value.toString(16).padStart(16, '0');
  return merged.map(({ start, end, rights }) => `${digits(start)}-${digits(end)} ${digits(end - start)} ${rights}`);
}

/** `va pa size` of each leaf. */
function leavesOf(ranges: readonly RangeLine[]): string[] {
  return ranges.flatMap(({ va, pa, pages, sizes, repeats }) => {
    const { pageSize } = sizes[0]!;
    return Array.from({ length: (pages * 4096) / pageSize }, (_, index) => {
      const offset = index * pageSize;
      return `${hex(BigInt(va) + BigInt(offset))} ${hex(Number(pa) + (repeats === true ? 0 : offset))} ${pageSize}`;
    });
  });
}

/** `va: pa flags`, P for a large page. */
function plainLeaf(line: string): string {
  const [, va, pa, flags] = /^([\da-f]+): ([\da-f]+) (\S+)$/.exec(line)!;
  return `${hex(BigInt(`0x${va}`))} ${hex(Number(`0x${pa}`))} ${flags!.includes('P') ? 2 ** 21 : 4096}`;
}

/** The frame behind each page for the processor, which has none where nobody may use it. */
function framesOf(reports: readonly PagesReport[]): Map<bigint, number | null> {
  return new Map(
    reports.flatMap((report) => pagesOf(report).map(({ va, pfn }) => [va, report.inaccessible ? null : pfn] as const)),
  );
}

function range(va: unknown, first: string, pages: number): boolean {
  return BigInt(va as string) >= BigInt(first) && BigInt(va as string) < BigInt(first) + BigInt(pages) * 4096n;
}
