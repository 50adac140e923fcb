/**
 * One guest that stands still, in every format that can be had of it: all of them, and the live guest, translate alike, and as QEMU does.
 *
 * Debian's QEMU writes ELF and kdump with zlib; its makedumpfile writes neither snappy nor zstd. Pages compressed by the real libraries
 * take their place in a kdump of our own, and LiME is written from its definition: there is no module for it here.
 */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { mappedRanges } from '../../src/core/paging/enumerate.ts';
import { type Dump, openDump } from '../../src/drivers/dump/index.ts';
import { pagesOf, type PagesReport } from '../../src/drivers/qemu/launch/workload-report.ts';
import { findAddressSpace, findRoots } from '../../src/snapshot/index.ts';
import { parse } from '../cli/run.ts';
import { limeDump, notesOf, PAGE } from '../drivers/dump/write-dump.ts';
import { Random } from '../oracle/random.ts';
import { hasDumpTools, makedumpfile, writeCompressedKdump, writeElfForMakedumpfile } from './dump-tools.ts';
import { DumpedGuest, runWith } from './dumped-guest.ts';
import { leftOut } from './real-guest.ts';

const hex = (value: bigint | number): string => `0x${value.toString(16)}`;

const COUNT = 10_000;
const VA = 0x70_0000_0000n;

/** Addresses of every kind: mapped ones, those around the ends of ranges, and any. */
function addressesOf(dump: Dump, space: Awaited<ReturnType<typeof findAddressSpace>>): string[] {
  const random = new Random(1);
  const found = new Set<bigint>();
  const ranges = [...mappedRanges(space.paging, dump.memory, space.root)];
  for (const { va, byteLength } of ranges) {
    for (const at of [va - 1n, va, va + BigInt(byteLength) - 1n, va + BigInt(byteLength)]) found.add(at);
  }
  const large = ranges.filter(({ pageSize }) => pageSize > PAGE);
  const half = 1n << BigInt(space.paging.mode.vaBits - 1);
  while (found.size < COUNT * 0.8) {
    const { va, byteLength } = random.pick(random.oneIn(3) ? large : ranges);
    found.add(va + (random.u64() % BigInt(byteLength)));
  }
  while (found.size < COUNT) {
    const low = random.u64() % half;
    found.add(random.oneIn(2) ? low : BigInt.asUintN(64, low - half));
  }
  const canonical = (va: bigint) => va >= 0n && (va < half || va >= 2n ** 64n - half) && va < 2n ** 64n;
  return [...found].filter(canonical).slice(0, COUNT).map(hex);
}

const isLeftOut = leftOut('test/live/dumps, dumps of a real guest');
const folder = isLeftOut ? '' : mkdtempSync(join(tmpdir(), 'ptmon-dumps-'));
const withTools = !isLeftOut && hasDumpTools(folder);
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const path = (name: string) => join(folder, name);

describe.skipIf(isLeftOut)('P3 dumps of a real guest with 4-level paging', { timeout: 240_000 }, () => {
  let machine: DumpedGuest;
  let vcpu: number;
  let addresses: string[];
  /** What `ptmon translate` says of all addresses in QEMU's own ELF core. */
  let expected: string;

  const select = () => ['--vcpu', String(vcpu)];
  const raw = () => ['--root', hex(machine.root), '--paging', '4-level'];

  beforeAll(async () => {
    machine = await DumpedGuest.boot({ cpu: 'max,la57=off', smp: 2 });
    // Small pages and huge ones, shared ones, one that is read-only, some that are swapped out, and the page of zeroes.
    await machine.commands(
      `map 600 small at=${hex(VA)}`,
      `touch ${hex(VA)} 500`,
      `read ${hex(VA + 500n * 4096n)} 50`,
      `mprotect ${hex(VA)} 20 r`,
      `mprotect ${hex(VA + 100n * 4096n)} 8 none`,
      `swapout ${hex(VA + 200n * 4096n)} 16`,
      `map 1024 huge at=${hex(VA + 0x4000_0000n)}`,
      `touch ${hex(VA + 0x4000_0000n)} 1024`,
      `fork ${hex(VA + 300n * 4096n)} 16`,
      `cow ${hex(VA + 300n * 4096n)} 4`,
    );
    const note = await machine.vmcoreinfo();
    vcpu = await machine.pause();
    await machine.dump(path('elf'));
    writeFileSync(path('vmcoreinfo'), note);
    const dump = await openDump(path('elf'));
    const space = await findAddressSpace(dump, { vcpu });
    expect(BigInt(space.root)).toBe(machine.root);
    addresses = addressesOf(dump, space);
    await dump.close();
    const outcome = await runWith(['translate', path('elf'), '-', '--json', ...select()], addresses);
    expect(outcome).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/ELF core, 3 segments; 2 vCPUs/) as string,
    });
    expected = outcome.stdout;
  }, 240_000);
  afterAll(() => machine?.stop());

  async function expectSame(name: string, args: readonly string[]): Promise<void> {
    const start = performance.now();
    const { code, stdout, stderr } = await runWith(['translate', path(name), '-', '--json', ...args], addresses);
    const size = (statSync(path(name)).size / 2 ** 20).toFixed(0);
    process.stdout.write(
      `${name} (${size} MiB): ${addresses.length} addresses, ${(performance.now() - start).toFixed(0)} ms\n`,
    );
    expect({ code, stderr: stderr.slice(0, 500) }).toEqual({
      code: 0,
      stderr: expect.stringContaining(path(name)) as string,
    });
    const same = name.includes('kernel-only') ? tablesOnly(stdout) === tablesOnly(expected) : stdout === expected;
    expect(same, `${name} translates differently`).toBe(true);
  }

  test('there are 10,000 addresses, of every outcome', () => {
    const answers = parse(expected);
    expect(answers.length).toBe(COUNT);
    const count = (is: (answer: Record<string, unknown>) => boolean) => answers.filter(is).length;
    expect(count(({ pageSize }) => pageSize === 4096)).toBeGreaterThan(1000);
    expect(count(({ pageSize }) => pageSize === 2 ** 21)).toBeGreaterThan(1000);
    for (const level of [1, 2, 3, 4])
      expect(
        count((answer) => answer['level'] === level),
        `level ${level}`,
      ).toBeGreaterThan(0);
  });

  test('the live guest says the same', async () => {
    const { qmpPath, gdbPath } = machine.guest;
    const live = ['translate', '-', '--json', '--qmp', qmpPath, '--gdb', gdbPath, ...select()];
    const { code, stdout } = await runWith(live, addresses);
    expect(code).toBe(0);
    expect(stdout === expected).toBe(true);
  });

  test("and so does QEMU's own gva2gpa", async () => {
    const answers = parse(expected);
    await machine.asking(async (qmp) => {
      const wrong: string[] = [];
      for (const { va, pa } of answers as { va: string; pa?: string }[]) {
        const theirs = (await qmp.humanMonitor(`gva2gpa ${va}`, { vcpu })).trim();
        const ours = pa === undefined ? 'Unmapped' : `gpa: ${pa === '0x0' ? '0' : pa}`;
        if (ours !== theirs) wrong.push(`${va}: ${ours}, by QEMU ${theirs}`);
      }
      expect(wrong).toEqual([]);
    });
  });

  test.each([
    ['elf-paging', { paging: true }],
    ['kdump-zlib', { format: 'kdump-zlib' }],
  ] as const)("QEMU's %s", async (name, options) => {
    await machine.dump(path(name), options);
    await expectSame(name, select());
    if (name !== 'kdump-zlib') rmSync(path(name));
  });

  test('memory as it is: saved, and the file that is the RAM of the guest', async () => {
    await machine.asking((qmp) => qmp.execute('pmemsave', { val: 0, size: 256 * 2 ** 20, filename: path('pmemsave') }));
    await expectSame('pmemsave', raw());
    rmSync(path('pmemsave'));
    const { stdout } = await runWith(['translate', machine.guest.ramFile, '-', '--json', ...raw()], addresses);
    expect(stdout === expected).toBe(true);
    const mapped = [
      'translate',
      machine.guest.ramFile,
      '-',
      '--json',
      ...raw(),
      '--ram-map',
      '0x0+128M@0,0x8000000+128M@128M',
    ];
    expect((await runWith(mapped, addresses)).stdout === expected).toBe(true);
  });

  test('LiME, written from its definition', async () => {
    const ram = readFileSync(machine.guest.ramFile);
    const frames = new Map<number, Uint8Array>();
    // As Linux lists RAM: with a hole below 1 MiB.
    for (let gfn = 0; gfn < ram.length / PAGE; gfn++) {
      if (gfn < 0x9f || gfn >= 0x100) frames.set(gfn, ram.subarray(gfn * PAGE, (gfn + 1) * PAGE));
    }
    writeFileSync(path('lime'), limeDump(frames));
    await expectSame('lime', raw());
    rmSync(path('lime'));
  });

  describe.skipIf(!withTools)('of makedumpfile', () => {
    beforeAll(() => {
      writeElfForMakedumpfile(path('elf'), path('vmcore'), readFileSync(path('vmcoreinfo')));
    });

    test.each<[name: string, options: string[]]>([
      ['plain', ['-d', '0']],
      ['zlib', ['-c', '-d', '0']],
      ['lzo', ['-l', '-d', '0']],
      ['zlib-without-zeroes', ['-c', '-d', '1']],
      ['lzo-kernel-only', ['-l', '-d', '31']],
      ['zlib-flattened', ['-F', '-c', '-d', '0']],
      ['lzo-flattened-kernel-only', ['-F', '-l', '-d', '31']],
      ['elf', ['-E', '-d', '0']],
      ['elf-kernel-only', ['-E', '-d', '31']],
      ['elf-flattened', ['-F', '-E', '-d', '31']],
    ])('%s', async (name, options) => {
      makedumpfile(options, path('vmcore'), path(`makedumpfile-${name}`));
      await expectSame(`makedumpfile-${name}`, select());
      rmSync(path(`makedumpfile-${name}`));
    });

    test("QEMU's kdump, rearranged", async () => {
      if (!statSync(path('kdump-zlib'), { throwIfNoEntry: false }))
        await machine.dump(path('kdump-zlib'), { format: 'kdump-zlib' });
      makedumpfile(['-R'], path('kdump-zlib'), path('rearranged'));
      await expectSame('rearranged', select());
      rmSync(path('rearranged'));
    });

    test.each(['snappy', 'zstd'] as const)('%s, of pages that the real library has compressed', async (method) => {
      const cpus = await Promise.all([0, 1].map(async (at) => registersOf(path('elf'), at)));
      writeCompressedKdump(method, folder, machine.guest.ramFile, notesOf(cpus), path(method));
      await expectSame(method, select());
      rmSync(path(method));
    });

    test("the kernel's own root is named by its note", async () => {
      makedumpfile(['-c', '-d', '31'], path('vmcore'), path('named'));
      for (const name of ['vmcore', 'named']) {
        const dump = await openDump(path(name));
        onTestFinished(() => dump.close());
        const sure = (await findRoots(dump)).filter(({ confidence }) => confidence === 'sure');
        expect(dump.kernelRoot).toMatchObject({ mode: '4-level', from: 'VMCOREINFO' });
        expect(sure.map(({ root }) => root)).toContain(dump.kernelRoot?.root);
      }
    });
  });

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

  test('raw memory without its gaps is refused, and the map that is proposed translates alike', async () => {
    // As LiME's format=raw writes it: the RAM of /proc/iomem, 0x1000 to 0x9fbff and 0x100000 to 0xffdffff.
    const memory = readFileSync(machine.guest.ramFile);
    const gapless = Buffer.concat([memory.subarray(0x1000, 0x9_fc00), memory.subarray(0x10_0000, 0xffe_0000)]);
    writeFileSync(path('gapless'), gapless);
    for (const command of ['roots', 'map']) {
      const { code, stdout, stderr } = await runWith([command, path('gapless')]);
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
      expect(stderr).toContain('--ram-map 0x1000+0x9e000@0x0,0x100000+0xfee0000@0x9ec00;');
    }
    await expectSame('gapless', ['--ram-map', '0x1000+0x9e000@0x0,0x100000+0xfee0000@0x9ec00', ...raw()]);
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

/**
 * Without what the guest's Linux says of an address. Dump level 31 keeps page tables, but makedumpfile 1.7.2 takes slabs of newer kernels
 * (6.12) for memory of processes, and leaves out what Linux knows of them.
 */
function tablesOnly(jsonl: string): string {
  return jsonl.replaceAll(/,"system":\{.*?\},"steps"/g, ',"steps"');
}

async function registersOf(dumpPath: string, vcpu: number) {
  const dump = await openDump(dumpPath);
  try {
    return dump.registers!.readRegisters(vcpu);
  } finally {
    await dump.close();
  }
}

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
