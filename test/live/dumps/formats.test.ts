/**
 * One guest that is paused, in every format that can be had of it: all of them, and the live guest, translate alike, and as QEMU does. Each
 * program's file with compressed pages and its ELF are asked for all addresses, their variants and QEMU itself for some of every kind.
 * libkdumpfile, which is quick, is asked for all of them, too.
 *
 * Debian's QEMU writes ELF and kdump with zlib; its makedumpfile writes neither snappy nor zstd. Pages compressed by the real libraries
 * take their place in a kdump of our own.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { openDump } from '../../../src/drivers/dump/index.ts';
import { findAddressSpace, findRoots } from '../../../src/snapshot/index.ts';
import { parse } from '../../cli/run.ts';
import { limeDump, notesOf, PAGE } from '../../drivers/dump/write-dump.ts';
import { addressesOf, bootBusyGuest, COUNT, hex, registersOf } from './busy-guest.ts';
import { hasDumpTools, makedumpfile, writeCompressedKdump, writeElfForMakedumpfile } from './dump-tools.ts';
import { type DumpedGuest, runWith } from './dumped-guest.ts';
import { hasOtherReaders, readWithDrgn, translateWithKdumpfile } from './other-readers.ts';
import { leftOut } from '../real-guest.ts';

/** One address in so many is asked of a variant, and so many of each kind. */
const STRIDE = 8;
const OF_EACH_KIND = 8;
/** The options of makedumpfile for each file that it writes. */
const CONVERSIONS = {
  plain: ['-d', '0'],
  zlib: ['-c', '-d', '0'],
  lzo: ['-l', '-d', '0'],
  'zlib-without-zeroes': ['-c', '-d', '1'],
  'lzo-kernel-only': ['-l', '-d', '31'],
  'zlib-kernel-only': ['-c', '-d', '31'],
  'zlib-flattened': ['-F', '-c', '-d', '0'],
  'lzo-flattened-kernel-only': ['-F', '-l', '-d', '31'],
  elf: ['-E', '-d', '0'],
  'elf-kernel-only': ['-E', '-d', '31'],
  'elf-flattened': ['-F', '-E', '-d', '31'],
} as const;

interface Answer {
  readonly va: string;
  readonly pa?: string;
}

const isLeftOut = leftOut('test/live/dumps, dumps of a real guest');
const folder = isLeftOut ? '' : mkdtempSync(join(tmpdir(), 'ptmon-dumps-'));
const withTools = !isLeftOut && hasDumpTools(folder);
const withReaders = withTools && hasOtherReaders(folder);
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const path = (name: string) => join(folder, name);

describe.skipIf(isLeftOut)('P3 dumps of a real guest with 4-level paging', { timeout: 240_000 }, () => {
  let machine: DumpedGuest;
  let vcpu: number;
  let addresses: string[];
  /** What `ptmon translate` says of all addresses in QEMU's own ELF core. */
  let expected: string;
  /** Places of addresses that variants are asked for. */
  let sample: ReadonlySet<number>;

  const select = () => ['--vcpu', String(vcpu)];
  const raw = () => ['--root', hex(machine.root), '--paging', '4-level'];

  beforeAll(async () => {
    machine = await bootBusyGuest();
    const note = await machine.vmcoreinfo();
    vcpu = await machine.pause();
    await machine.dump(path('elf'));
    await machine.dump(path('kdump-zlib'), { format: 'kdump-zlib' });
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
    sample = sampleOf(parse(expected));
  }, 240_000);
  afterAll(() => machine?.stop());

  /** The same bytes from all addresses, or from some of every kind. */
  async function expectSame(name: string, args: readonly string[], which: 'all' | 'some'): Promise<void> {
    const start = performance.now();
    const isAsked = (_: unknown, index: number) => which === 'all' || sample.has(index);
    const asked = addresses.filter(isAsked);
    const wanted = expected.split('\n').filter(isAsked).join('\n');
    const { code, stdout, stderr } = await runWith(['translate', path(name), '-', '--json', ...args], asked);
    const size = (statSync(path(name)).size / 2 ** 20).toFixed(0);
    process.stdout.write(
      `${name} (${size} MiB): ${asked.length} addresses, ${(performance.now() - start).toFixed(0)} ms\n`,
    );
    expect({ code, stderr: stderr.slice(0, 500) }).toEqual({
      code: 0,
      stderr: expect.stringContaining(path(name)) as string,
    });
    const plain = name.includes('kernel-only') ? tablesOnly : (text: string) => text;
    expect(plain(stdout).trimEnd() === plain(wanted).trimEnd(), `${name} translates differently`).toBe(true);
  }

  test.each(['all', 'some'] as const)('of %s addresses there is every outcome', (which) => {
    const answers = parse(expected).filter((_, index) => which === 'all' || sample.has(index));
    const least = which === 'all' ? COUNT : COUNT / STRIDE;
    expect(answers.length).toBeGreaterThanOrEqual(least);
    const count = (is: (answer: Record<string, unknown>) => boolean) => answers.filter(is).length;
    expect(count(({ pageSize }) => pageSize === 4096)).toBeGreaterThan(least / 10);
    expect(count(({ pageSize }) => pageSize === 2 ** 21)).toBeGreaterThan(least / 10);
    for (const level of [1, 2, 3, 4])
      expect(
        count((answer) => answer['level'] === level),
        `level ${level}`,
      ).toBeGreaterThan(0);
    expect(new Set(answers.map(meaningOf))).toEqual(new Set([undefined, 'empty', 'inaccessible', 'swapped']));
  });

  test('the live guest says the same', async () => {
    const { qmpPath, gdbPath } = machine.guest;
    const live = ['translate', '-', '--json', '--qmp', qmpPath, '--gdb', gdbPath, ...select()];
    const { code, stdout } = await runWith(live, addresses);
    expect(code).toBe(0);
    expect(stdout === expected).toBe(true);
  });

  test("and so does QEMU's own gva2gpa", async () => {
    const answers = parse(expected).filter((_, index) => sample.has(index));
    await machine.asking(async (qmp) => {
      const wrong: string[] = [];
      for (const { va, pa } of answers as unknown as readonly Answer[]) {
        const theirs = (await qmp.humanMonitor(`gva2gpa ${va}`, { vcpu })).trim();
        const ours = pa === undefined ? 'Unmapped' : `gpa: ${pa === '0x0' ? '0' : pa}`;
        if (ours !== theirs) wrong.push(`${va}: ${ours}, by QEMU ${theirs}`);
      }
      expect(wrong).toEqual([]);
    });
  });

  test("QEMU's ELF with paging", async () => {
    await machine.dump(path('elf-paging'), { paging: true });
    await expectSame('elf-paging', select(), 'all');
    rmSync(path('elf-paging'));
  });

  test("QEMU's kdump with zlib", async () => {
    await expectSame('kdump-zlib', select(), 'all');
  });

  test('memory as it is: saved, and the file that is the RAM of the guest', async () => {
    await machine.asking((qmp) => qmp.execute('pmemsave', { val: 0, size: 256 * 2 ** 20, filename: path('pmemsave') }));
    expect(readFileSync(path('pmemsave')).equals(readFileSync(machine.guest.ramFile))).toBe(true);
    await expectSame('pmemsave', raw(), 'some');
    await expectSame('pmemsave', [...raw(), '--ram-map', '0x0+128M@0,0x8000000+128M@128M'], 'some');
    // A copy that was cut off: the roots are still sure, or it says that none is left.
    for (const part of [0.9, 0.6, 0.3]) {
      truncateSync(path('pmemsave'), Math.floor(part * 2 ** 16) * PAGE);
      const { code, stderr } = await runWith(['map', path('pmemsave'), '--user']);
      expect(stderr).toMatch(code === 3 ? /certainly a root/ : /found by a search, sure/);
    }
    rmSync(path('pmemsave'));
    const { stdout } = await runWith(['translate', machine.guest.ramFile, '-', '--json', ...raw()], addresses);
    expect(stdout === expected).toBe(true);
  });

  test('LiME, written from its definition', async () => {
    const ram = readFileSync(machine.guest.ramFile);
    const frames = new Map<number, Uint8Array>();
    // As Linux lists RAM: with a hole below 1 MiB.
    for (let gfn = 0; gfn < ram.length / PAGE; gfn++) {
      if (gfn < 0x9f || gfn >= 0x100) frames.set(gfn, ram.subarray(gfn * PAGE, (gfn + 1) * PAGE));
    }
    writeFileSync(path('lime'), limeDump(frames));
    await expectSame('lime', raw(), 'some');
    rmSync(path('lime'));
  });

  describe.skipIf(!withTools)('of makedumpfile', () => {
    beforeAll(() => {
      writeElfForMakedumpfile(path('elf'), path('vmcore'), readFileSync(path('vmcoreinfo')));
    });

    /** The path of a dump that makedumpfile has written with these options; once. */
    function converted(name: keyof typeof CONVERSIONS): string {
      const file = path(`makedumpfile-${name}`);
      if (!existsSync(file)) makedumpfile(CONVERSIONS[name], path('vmcore'), file);
      return file;
    }

    test.each(Object.keys(CONVERSIONS) as (keyof typeof CONVERSIONS)[])('%s', async (name) => {
      converted(name);
      await expectSame(`makedumpfile-${name}`, select(), name === 'zlib' || name === 'elf' ? 'all' : 'some');
    });

    test('memory that dump level 31 leaves out is not taken for zeroes', async () => {
      const read = ['read', '0x7000000000+16', '--root', hex(machine.root)];
      const of = (name: keyof typeof CONVERSIONS, [verb = '', ...rest] = read) =>
        runWith([verb, converted(name), ...rest]);
      expect(await of('zlib')).toMatchObject({ code: 0, stdout: expect.stringMatching(/^0+7000000000 {2}/) as string });
      const absent = { code: 5, stdout: '', stderr: expect.stringContaining('is not in the file') as string };
      expect(await of('zlib-kernel-only')).toMatchObject(absent);
      expect((await of('elf-kernel-only')).stderr).toContain('are not in the file and read as zeroes');
      // A kernel's list of areas is left out, or the areas are.
      expect((await of('zlib-kernel-only', ['search', 'ELF', '--pid', '1'])).code).toBe(5);
      expect((await of('zlib-kernel-only', ['dump', '--pid', '1', '--output', path('areas')])).code).toBe(5);
    });

    /** The path of QEMU's kdump with its pages in order; made once. */
    function rearranged(): string {
      if (!existsSync(path('rearranged'))) makedumpfile(['-R'], path('kdump-zlib'), path('rearranged'));
      return path('rearranged');
    }

    test("QEMU's kdump, rearranged", async () => {
      rearranged();
      await expectSame('rearranged', select(), 'some');
    });

    test.each(['snappy', 'zstd'] as const)('%s, of pages that the real library has compressed', async (method) => {
      const cpus = await Promise.all([0, 1].map(async (at) => registersOf(path('elf'), at)));
      writeCompressedKdump(method, { tools: folder, ram: machine.guest.ramFile, to: path(method) }, notesOf(cpus));
      await expectSame(method, select(), 'some');
      rmSync(path(method));
    });

    describe.skipIf(!withReaders)('as other programs read them', () => {
      const answers = () => parse(expected) as unknown as readonly Answer[];
      /** What we find at each address, in libkdumpfile's words. */
      const asKdumpfile = () => answers().map(({ pa = 'Page not present' }) => pa);

      const asKdumpfileReads = (file: string) =>
        translateWithKdumpfile(folder, { path: file, root: hex(machine.root), levels: 4 }, addresses);

      test.each(['zlib', 'zlib-without-zeroes', 'lzo', 'elf'] as const)(
        'libkdumpfile translates all addresses alike: %s',
        (name) => {
          expect(asKdumpfileReads(converted(name))).toEqual(asKdumpfile());
        },
      );

      test("libkdumpfile translates all addresses of QEMU's kdump alike, which is rearranged for it", () => {
        expect(asKdumpfileReads(rearranged())).toEqual(asKdumpfile());
      });

      // Without debug symbols it reads the kernel's half, by the root that VMCOREINFO names.
      test.each(['zlib', 'lzo'] as const)("drgn reads the kernel's half alike: %s", async (name) => {
        const dump = await openDump(converted(name));
        onTestFinished(() => dump.close());
        const isIn = (va: bigint) => va >= 1n << 63n && Number(va % BigInt(PAGE)) <= PAGE - 8;
        const kernel = answers().filter(({ va }) => isIn(BigInt(va)));
        const theirs = readWithDrgn(
          converted(name),
          kernel.map(({ va }) => va),
        );
        const ours = kernel.map(({ pa }) => {
          // Registers of devices are mapped, too, and are not in the dump.
          const bytes = pa === undefined ? undefined : dump.readBytes(Number(pa), 8);
          return bytes === undefined ? 'fault' : Buffer.from(bytes).toString('hex');
        });
        expect(theirs).toEqual(ours);
        expect(ours.filter((bytes) => bytes !== 'fault' && !/^0*$/.test(bytes)).length).toBeGreaterThan(500);
        expect(ours).toContain('fault');
      });
    });

    test("the kernel's own root is named by its note", async () => {
      for (const file of [path('vmcore'), converted('zlib-kernel-only')]) {
        const dump = await openDump(file);
        onTestFinished(() => dump.close());
        const sure = (await findRoots(dump)).filter(({ confidence }) => confidence === 'sure');
        expect(dump.kernelRoot).toMatchObject({ mode: '4-level', from: 'VMCOREINFO' });
        expect(sure.map(({ root }) => root)).toContain(dump.kernelRoot?.root);
      }
    });
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
    await expectSame('gapless', ['--ram-map', '0x1000+0x9e000@0x0,0x100000+0xfee0000@0x9ec00', ...raw()], 'some');
  });
});

function meaningOf({ system }: Record<string, unknown>): string | undefined {
  return (system as { readonly meaning: { readonly kind: string } } | undefined)?.meaning.kind;
}

/** Some places all over, and the first ones of each kind of answer. */
function sampleOf(answers: readonly Record<string, unknown>[]): ReadonlySet<number> {
  const ofKind = new Map<string, number>();
  const places = answers.flatMap((answer, index) => {
    const kind = `${String(answer['pageSize'])} ${String(answer['level'])} ${meaningOf(answer)}`;
    const before = ofKind.get(kind) ?? 0;
    ofKind.set(kind, before + 1);
    return before < OF_EACH_KIND || index % STRIDE === 0 ? [index] : [];
  });
  return new Set(places);
}

/**
 * Without what the guest's Linux says of an address. Dump level 31 keeps page tables, but makedumpfile 1.7.2 takes slabs of newer kernels
 * (6.12) for memory of processes, and leaves out what Linux knows of them.
 */
function tablesOnly(jsonl: string): string {
  return jsonl.replaceAll(/,"system":\{.*?\},"steps"/g, ',"steps"');
}
