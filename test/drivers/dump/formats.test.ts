/** Every format holds the same memory: what is written into it is what is read from it, and where nothing was, nothing is. */
import { deflateSync } from 'node:zlib';
import { compress } from 'snappyjs';
import { describe, expect, onTestFinished, test } from 'vitest';
import { READ_NO_MEMORY, READ_OK } from '../../../src/core/memory/physical-memory.ts';
import { type Dump, type DumpOptions, openDump } from '../../../src/drivers/dump/index.ts';
import { readPhysicalBytes } from '../../../src/guest/memory/physical-bytes.ts';
import { findRoots } from '../../../src/snapshot/index.ts';
import {
  CPU,
  dumpFile,
  elfDump,
  flattened,
  flattenedOf,
  type Frames,
  framesOf,
  kdumpDump,
  limeDump,
  notesOf,
  PAGE,
  pageOf,
  runsOf,
} from './write-dump.ts';

/** Two pieces of RAM with a hole between them, and a page far above, beyond one block of a bitmap. */
const GFNS = [0, 1, 2, 3, 0x100, 0x101, 0x102, 0x103, 0x9000];
const FRAMES = framesOf(GFNS);

async function open(bytes: Uint8Array, options: DumpOptions = {}): Promise<Dump> {
  const dump = await openDump(dumpFile(bytes), options);
  onTestFinished(() => dump.close());
  return dump;
}

function expectFrames(dump: Dump, frames: Frames): void {
  const entry = new Uint32Array(2);
  for (const [gfn, page] of frames) {
    const words = new Uint32Array(page.slice().buffer);
    for (const word of [0, 512, 1022]) {
      expect(dump.memory.readEntry(gfn * PAGE + word * 4, 8, entry), `frame ${gfn}`).toBe(READ_OK);
      expect([...entry], `frame ${gfn}, word ${word}`).toEqual([words[word], words[word + 1]]);
    }
    expect(Buffer.from(dump.readBytes(gfn * PAGE, PAGE)!).equals(page), `frame ${gfn}`).toBe(true);
  }
  for (const gfn of [4, 0xff, 0x104, 0x8fff, 0x9001, 2 ** 30]) {
    expect(dump.memory.readEntry(gfn * PAGE, 8, entry), `frame ${gfn}`).toBe(READ_NO_MEMORY);
  }
  // Across a boundary of frames, at odd places.
  expect(dump.readBytes(PAGE - 3, 7)).toEqual(
    new Uint8Array(Buffer.concat([frames.get(0)!.subarray(-3), frames.get(1)!.subarray(0, 4)])),
  );
  expect(dump.readBytes(3 * PAGE + 1, PAGE)).toBeUndefined();
}

const stored = (flags: number, make: (page: Uint8Array) => Uint8Array) => (page: Uint8Array) => ({
  flags,
  bytes: make(page),
});
/** The pattern once, a copy of it to the end, and the last four bytes, as LZO1X has it. */
const lzoPattern = (page: Uint8Array, gfn: number) => {
  const period = `page ${gfn} `.length;
  const more = PAGE - 8 - period - 2 - 31;
  const zeroes = Math.floor((more - 1) / 255);
  const copy = [0b001_00000, ...Buffer.alloc(zeroes), more - zeroes * 255, (period - 1) << 2, 0];
  const bytes = [17 + 4 + period, ...page.subarray(0, 4 + period), ...copy, 1, ...page.subarray(-4), 17, 0, 0];
  return { flags: 2, bytes: Uint8Array.from(bytes) };
};
/** Pages of one byte each, as a zstd frame of one block that repeats it. */
const PLAIN = new Map(GFNS.map((gfn) => [gfn, new Uint8Array(PAGE).fill(gfn)]));
const zstdRepeat = (page: Uint8Array) => Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x60, 0, 15, 3, 0x80, 0, page[0]!);

const RAW = Buffer.concat([pageOf(0), pageOf(1), pageOf(2), pageOf(3)]);

describe('a dump holds its memory', () => {
  test.each<[name: string, format: string, bytes: Buffer]>([
    ['an ELF core', 'elf', elfDump(FRAMES)],
    ['a 32-bit ELF core', 'elf', elfDump(FRAMES, { is64: false })],
    ['an ELF core that names its memory many times, as with paging', 'elf', elfDump(FRAMES, { aliases: 300 })],
    ['an ELF core whose number of segments is in a section', 'elf', elfDump(FRAMES, { extended: true })],
    ['an ELF core of 70,000 segments', 'elf', elfDump(FRAMES, { extended: true, aliases: 35_000 })],
    ['LiME', 'lime', limeDump(FRAMES)],
    ['a kdump', 'kdump', kdumpDump(FRAMES)],
    ['a kdump of a 32-bit kernel', 'kdump', kdumpDump(FRAMES, { is64: false })],
    ['an old kdump without notes', 'kdump', kdumpDump(FRAMES, { version: 3 })],
    ['a kdump with zlib', 'kdump', kdumpDump(FRAMES, { store: stored(1, (page) => deflateSync(page)) })],
    ['a kdump with LZO', 'kdump', kdumpDump(FRAMES, { store: lzoPattern })],
    ['a kdump with snappy', 'kdump', kdumpDump(FRAMES, { store: stored(4, (page) => compress(page.slice())) })],
    ['a flattened kdump', 'kdump', flattened(kdumpDump(FRAMES))],
    ['a flattened ELF core', 'elf', flattened(elfDump(FRAMES))],
  ])('%s', async (_name, format, bytes) => {
    const dump = await open(bytes);
    expect(dump.format).toBe(format);
    expectFrames(dump, FRAMES);
    expect(dump.regions).toEqual(runsOf(FRAMES).map(({ pa, bytes }) => ({ pa, byteLength: bytes.length })));
  });

  test('a kdump with zstd', async () => {
    expectFrames(await open(kdumpDump(PLAIN, { store: stored(0x20, zstdRepeat) })), PLAIN);
  });

  test('raw memory lies at address 0, or where a map says', async () => {
    expect((await open(RAW)).regions).toEqual([{ pa: 0, byteLength: 4 * PAGE }]);
    const mapped = await open(RAW, { ramMap: '0x0+8K@8K,0x100000+8K@0' });
    expect(Buffer.from(mapped.readBytes(0x10_0000, 8192)!)).toEqual(RAW.subarray(0, 8192));
    expect(Buffer.from(mapped.readBytes(0, 8192)!)).toEqual(RAW.subarray(8192));
  });

  test('pages that a kdump left out are zeroes where it left out zeroes, and no memory otherwise', async () => {
    const leftOut = [4, 0x104];
    const zeroes = new Uint8Array(PAGE);
    for (const dumpLevel of [1, 31]) {
      const dump = await open(kdumpDump(FRAMES, { leftOut, dumpLevel }));
      for (const gfn of leftOut) expect(dump.readBytes(gfn * PAGE, PAGE)).toEqual(zeroes);
      // With more than zeroes left out, nobody knows what was in such a page.
      const areLeftOut = [...leftOut, 0x103].map((gfn) => dump.isLeftOut?.(gfn * PAGE));
      expect(areLeftOut).toEqual(dumpLevel === 1 ? [undefined, undefined, undefined] : [true, true, false]);
      expect(readPhysicalBytes(dump, 3 * PAGE + 8, 2 * PAGE - 8).length).toBe((dumpLevel === 1 ? 2 : 1) * PAGE - 8);
      expect(Buffer.from(dump.readBytes(0x103 * PAGE, PAGE)!).equals(pageOf(0x103))).toBe(true);
    }
    const dump = await open(kdumpDump(FRAMES, { leftOut, dumpLevel: 0 }));
    expectFrames(dump, FRAMES);
  });

  test('an ELF core has zeroes between p_filesz and p_memsz, unless other memory lies there', async () => {
    const bytes = elfDump(FRAMES);
    // Of the first piece two pages are in the file, and the hole behind it up to the second is zeroes.
    const [first, second] = [128 + 56, 128 + 112];
    bytes.writeBigUInt64LE(2n * 4096n, first + 32);
    bytes.writeBigUInt64LE(0x101n * 4096n, first + 40);
    // Of the last nothing is in the file.
    const last = second + 56;
    bytes.writeBigUInt64LE(0n, last + 32);
    const dump = await open(bytes);
    expect(dump.warnings?.join()).toMatch(/of memory are not in the file and read as zeroes/);
    const zeroes = new Uint8Array(PAGE);
    for (const gfn of [2, 3, 0xff, 0x9000]) expect(dump.readBytes(gfn * PAGE, PAGE), `frame ${gfn}`).toEqual(zeroes);
    for (const gfn of [0, 1, 0x100, 0x101]) {
      expect(Buffer.from(dump.readBytes(gfn * PAGE, PAGE)!).equals(pageOf(gfn)), `frame ${gfn}`).toBe(true);
    }
    expect(dump.readBytes(0x104 * PAGE, PAGE)).toBeUndefined();
  });

  test('roots of an ELF core that names far more zeroes than any machine has are found at once', async () => {
    const bytes = elfDump(FRAMES);
    bytes.writeBigUInt64LE(2n ** 51n, 128 + 112 + 40);
    const dump = await open(bytes);
    expect(dump.zeroes?.at(-1)?.byteLength).toBeGreaterThan(2 ** 50);
    expect(await findRoots(dump)).toEqual([]);
  });

  test('of two records of a flattened dump for the same bytes the later one holds', async () => {
    const bytes = kdumpDump(FRAMES);
    const garbage = (target: number, byteLength: number) => ({ target, bytes: new Uint8Array(byteLength).fill(0xff) });
    const whole = { target: 0, bytes };
    const part = (from: number, to: number) => ({ target: from, bytes: bytes.subarray(from, to) });
    for (const records of [
      [garbage(0, 5000), whole],
      [garbage(100, 10), garbage(90, 30), whole],
      [whole, garbage(0, 500), part(0, 100), part(100, 600)],
      [whole, garbage(8000, 3000), garbage(9000, 10), part(7000, 12_000)],
      [part(4096, bytes.length), garbage(0, 5000), garbage(4000, 9000), part(0, 20_000)],
    ]) {
      expectFrames(await open(flattenedOf(records)), FRAMES);
    }
  });

  test('what no record of a flattened dump has is zeroes', async () => {
    const bytes = kdumpDump(framesOf([0]));
    const at = bytes.length - PAGE + 1000;
    const dump = await open(
      flattenedOf([
        { target: 0, bytes: bytes.subarray(0, at) },
        { target: at + 100, bytes: bytes.subarray(at + 100) },
      ]),
    );
    const expected = Buffer.from(pageOf(0)).fill(0, 1000, 1100);
    expect(Buffer.from(dump.readBytes(0, PAGE)!)).toEqual(expected);
  });
});

describe('registers', () => {
  const off = { cr0: 1n, cr3: 0n, cr4: 0n };

  test.each<[name: string, make: (notes: Buffer) => Buffer]>([
    ['ELF core', (notes) => elfDump(FRAMES, { notes })],
    ['kdump', (notes) => kdumpDump(FRAMES, { notes })],
    ['flattened kdump', (notes) => flattened(kdumpDump(FRAMES, { notes }))],
  ])('are in the notes of a %s', async (_name, make) => {
    const dump = await open(make(notesOf([CPU, { ...CPU, cr3: 0x1_2345_6000n }, off])));
    expect(dump.registers?.vcpuCount).toBe(3);
    expect(dump.registers?.readRegisters(0)).toEqual({ ...CPU, efer: 0xd00n });
    expect(dump.registers?.readRegisters(1).cr3).toBe(0x1_2345_6000n);
    expect(dump.registers?.readRegisters(2)).toEqual({ ...off, efer: 0x800n });
    expect(() => dump.registers?.readRegisters(3)).toThrow(/no vCPU 3: the dump has vCPUs 0 to 2/);
  });

  test('of a machine that is not in IA-32e mode say so', async () => {
    const dump = await open(elfDump(FRAMES, { is64: false, notes: notesOf([CPU], { is64: false }) }));
    expect(dump.registers?.readRegisters(0).efer).toBe(0x800n);
  });

  test('are absent where nothing says them', async () => {
    for (const bytes of [
      limeDump(FRAMES),
      RAW,
      kdumpDump(FRAMES, { version: 3 }),
      elfDump(FRAMES, { notes: Buffer.alloc(0) }),
    ]) {
      const dump = await open(bytes);
      expect(dump.registers).toBeUndefined();
      expect(dump.description).toContain('no registers');
    }
  });

  test('the header of a 32-bit kernel with 4096 frames, which stand where another has the size of a block', async () => {
    const frames = framesOf([0, 1, 2, 3, 0x100, 4095]);
    expectFrames(await open(kdumpDump(frames, { is64: false, version: 5 })), frames);
  });

  test.each([
    ['init_top_pgt', 'NUMBER(pgtable_l5_enabled)=0\n', { root: 0xb41_0000, mode: '4-level', from: 'VMCOREINFO' }],
    ['swapper_pg_dir', 'NUMBER(pgtable_l5_enabled)=1\n', { root: 0xb41_0000, mode: '5-level', from: 'VMCOREINFO' }],
    [
      'init_level4_pgt',
      `NUMBER(sme_mask)=${2 ** 47}\n`,
      { root: 0xb41_0000, mode: '4-level', encryptionMask: 1n << 47n, from: 'VMCOREINFO' },
    ],
    ['init_top_pgt', 'NUMBER(sme_mask)=1\n', undefined],
    ['init_pgt', '', undefined],
  ])("Linux's own note names the kernel's table: %s", async (symbol, more, expected) => {
    // As in a guest with KASLR, where phys_base is below zero.
    const text = `OSRELEASE=6.1.0\nSYMBOL(${symbol})=ffffffffaf410000\nNUMBER(phys_base)=-603979776\n${more}`;
    const notes = notesOf([], { text });
    for (const bytes of [
      elfDump(FRAMES, { notes }),
      kdumpDump(FRAMES, { text }),
      kdumpDump(FRAMES, { text, is64: false }),
    ]) {
      expect((await open(bytes)).kernelRoot).toEqual(expected);
    }
  });
});
