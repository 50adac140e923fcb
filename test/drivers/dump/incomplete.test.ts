/** Dumps of which something is missing or odd: the rest is read, and a warning says what is not. */
import { describe, expect, onTestFinished, test } from 'vitest';
import type { PtmonError } from '../../../src/core/error.ts';
import { type Dump, openDump } from '../../../src/drivers/dump/index.ts';
import {
  dumpFile,
  elfDump,
  flattened,
  flattenedOf,
  framesOf,
  kdumpDump,
  limeDump,
  PAGE,
  pageOf,
} from './write-dump.ts';

const FRAMES = framesOf([0, 1, 2, 3, 0x100, 0x101]);
/** The program headers of `elfDump`, and its notes. */
const PROGRAMS = 128;
const NOTES = PROGRAMS + 3 * 56;
/** The descriptors of `kdumpDump`, and its pages. */
const DESCRIPTORS = 4 * PAGE;
const PAGES = DESCRIPTORS + 6 * 24;

type Change = (bytes: Buffer) => unknown;
const u16 =
  (value: number, at: number): Change =>
  (bytes) =>
    bytes.writeUInt16LE(value, at);
const u32 =
  (value: number, at: number): Change =>
  (bytes) =>
    bytes.writeUInt32LE(value, at);
const u64 =
  (value: bigint, at: number): Change =>
  (bytes) =>
    bytes.writeBigUInt64LE(BigInt.asUintN(64, value), at);
const both =
  (...changes: readonly Change[]): Change =>
  (bytes) =>
    changes.map((change) => change(bytes));

function changed(bytes: Buffer, change: Change): Buffer {
  change(bytes);
  return bytes;
}

async function open(bytes: Uint8Array): Promise<Dump> {
  const dump = await openDump(dumpFile(bytes));
  onTestFinished(() => dump.close());
  return dump;
}

/** Which frames of `FRAMES` are there, as they were. */
function framesIn(dump: Dump): number[] {
  return [...FRAMES.keys()].filter((gfn) => {
    const bytes = dump.readBytes(gfn * PAGE, PAGE);
    if (bytes !== undefined) expect(Buffer.from(bytes).equals(pageOf(gfn)), `frame ${gfn}`).toBe(true);
    return bytes !== undefined;
  });
}

const ALL = [...FRAMES.keys()];
const WITHOUT_LAST = ALL.slice(0, -1);
const FIRST_RUN = [0, 1, 2, 3];

const elf = (change: Change) => changed(elfDump(FRAMES), change);
const kdump = (change: Change) => changed(kdumpDump(FRAMES), change);
const less = (bytes: Buffer, byteLength: number) => bytes.subarray(0, bytes.length - byteLength);

/** A flattened dump whose records follow each other. */
function inOrder(dump: Buffer): Buffer {
  const records = [];
  for (let target = 0; target < dump.length; target += 3000) {
    records.push({ target, bytes: dump.subarray(target, target + 3000) });
  }
  return flattenedOf(records);
}

describe('the rest is read of', () => {
  test.each<[what: string, bytes: Buffer, warning: RegExp, frames: readonly number[]]>([
    ['an ELF core that is truncated', less(elfDump(FRAMES), 1), /truncated: 1 byte of memory missing/, WITHOUT_LAST],
    ['one without its last segment', less(elfDump(FRAMES), 2 * PAGE), /truncated: 8K of memory missing/, FIRST_RUN],
    ['one with memory at no position', elf(u64(-1n, PROGRAMS + 56 + 8)), /truncated: 16K of memory/, [0x100, 0x101]],
    [
      'one with a segment without a physical address, as /proc/kcore has',
      elf(u64(-1n, PROGRAMS + 56 + 24)),
      /^1 of its pieces of memory \(16K\) have no physical address/,
      [0x100, 0x101],
    ],
    ['one with memory beyond 2^52', elf(u64(1n << 52n, PROGRAMS + 56 + 24)), /have no physical/, [0x100, 0x101]],
    [
      'a 32-bit one with a segment without a physical address',
      changed(elfDump(FRAMES, { is64: false }), u32(0xffffffff, 92 + 32 + 12)),
      /have no physical/,
      [0x100, 0x101],
    ],
    ['one with notes beyond the file', elf(u64(1n << 40n, PROGRAMS + 8)), /notes lie beyond the end/, ALL],
    ['one with a note beyond its segment', elf(u32(0x10000, NOTES + 4)), /a note reaches beyond its segment/, ALL],
    ["one with a note of QEMU's that is short", elf(u32(100, NOTES + 356 + 4)), /note of a vCPU is too short/, ALL],
    [
      'one with more notes than any machine has',
      elfDump(FRAMES, { notes: Buffer.alloc(2 ** 24 + 4) }),
      /16777220 bytes of notes are more/,
      ALL,
    ],
    ['a kdump that is truncated', less(kdumpDump(FRAMES), 1), /truncated: 1 of its pages are missing/, WITHOUT_LAST],
    ['one without most pages', less(kdumpDump(FRAMES), 5 * PAGE), /truncated: 5 of its pages are missing/, [0]],
    [
      'one with a page that was never written',
      kdump(both(u32(9, 424), u64(0n, DESCRIPTORS))),
      /incomplete or truncated: 1 of its pages/,
      ALL.slice(1),
    ],
    [
      'one whose last pages are zeroes, and that is truncated before them',
      kdump(both(u64(BigInt(PAGES), DESCRIPTORS + 24 * 5), u64(1n << 40n, DESCRIPTORS + 24 * 4))),
      /incomplete or truncated/,
      [],
    ],
    ['one of version 7', kdump(u32(7, 8)), /unknown version 7 of kdump's format: read as version 6/, ALL],
    [
      'one whose machine is written 4 bytes off, as by makedumpfile before 1.6.9',
      kdump((bytes) => bytes.write('x86_64\0', 268)),
      /calls the machine "64".*makedumpfile before 1\.6\.9/,
      ALL,
    ],
    ['one with too short bitmaps', kdump(u64(70_000n, PAGE + 96)), /of 70000 page frames they have 32768/, ALL],
    ['one with more frames than any machine', kdump(u64(1n << 50n, PAGE + 96)), /bitmaps are too short/, ALL],
    ['one with notes beyond the file', kdump(u64(1n << 40n, PAGE + 48)), /notes lie beyond the end/, ALL],
    [
      'one with a VMCOREINFO that is long',
      kdump(both(u64(4096n, PAGE + 32), u64(1n << 40n, PAGE + 40))),
      /VMCOREINFO of 1099511627776 bytes is not in the file/,
      ALL,
    ],
    ['a flattened dump without its end', less(flattened(kdumpDump(FRAMES)), 16), /is truncated at offset/, ALL],
    ['one that is cut in its last page', less(inOrder(kdumpDump(FRAMES)), 17), /is truncated at offset/, WITHOUT_LAST],
    ['LiME that is truncated', less(limeDump(FRAMES), 1), /truncated: 1 byte of memory missing/, WITHOUT_LAST],
    ['LiME with a header that is cut off', less(limeDump(FRAMES), 2 * PAGE + 1), /header of a range is cut/, FIRST_RUN],
    [
      'LiME with a range that is wrong about its length',
      changed(limeDump(FRAMES), u64(2n * 4096n - 1n, 16)),
      /there is no range header at this place; what follows/,
      [0, 1],
    ],
  ])('%s', async (what, bytes, warning, frames) => {
    const dump = await open(bytes);
    expect(dump.warnings?.join('\n')).toMatch(warning);
    if (!what.includes('zeroes')) expect(framesIn(dump)).toEqual(frames);
  });

  test.each([
    ['an ELF core', elfDump(FRAMES)],
    ['a kdump', kdumpDump(FRAMES)],
    ['LiME', limeDump(FRAMES)],
  ])('%s says which memory it lacks', async (_what, bytes) => {
    expect((await open(bytes)).missing).toBeUndefined();
    expect((await open(less(bytes, 1))).missing).toEqual([{ pa: 0x101 * PAGE, byteLength: PAGE }]);
  });

  test('a flattened kdump, wherever it is cut, as far as records have it', async () => {
    const whole = inOrder(kdumpDump(FRAMES));
    let read = 0;
    for (let length = whole.length - 1; length > PAGE; length -= 997) {
      const dump = await open(whole.subarray(0, length)).catch((error: PtmonError) => error);
      if (dump instanceof Error) expect(dump.code).toBe('corrupt-input');
      else read += framesIn(dump).length;
    }
    expect(read).toBeGreaterThan(40);
  });
});

describe('what cannot be read says why', () => {
  test.each<[what: string, bytes: Buffer, why: RegExp]>([
    [
      'an ELF core without any physical address',
      elf(both(u64(-1n, PROGRAMS + 56 + 24), u64(-1n, PROGRAMS + 112 + 24))),
      /it has no page of memory; 2 of its pieces of memory \(24K\) have no physical address/,
    ],
    [
      'an ELF core of headers alone',
      elfDump(FRAMES).subarray(0, elfDump(FRAMES).length - 6 * PAGE),
      /it has no page of memory; the file is truncated: 24K of memory/,
    ],
    [
      'the core of a process',
      elf(both(u64(0x1000n, PROGRAMS + 56 + 16), u64(0n, PROGRAMS + 112 + 24))),
      /2 segments all have physical address 0, so it is the core of a process/,
    ],
    ['a program', elf(u16(2, 16)), /not a core file: a program or a kernel/],
    ['a kdump without a page', kdumpDump(FRAMES).subarray(0, PAGES), /none of its 6 pages is in the file/],
    [
      'a kdump of another machine',
      kdump((bytes) => bytes.write('aarch64\0', 272)),
      /a machine "aarch64", not of an x86/,
    ],
    [
      'a kdump of another machine, written 4 bytes off',
      kdump((bytes) => bytes.write('aarch64\0', 268)),
      /a machine "aarch64", not of an x86/,
    ],
  ])('%s', async (_what, bytes, why) => {
    await expect(openDump(dumpFile(bytes))).rejects.toThrow(why);
  });
});

test('a dump that is as it should be has no warnings', async () => {
  for (const bytes of [elfDump(FRAMES), kdumpDump(FRAMES), flattened(kdumpDump(FRAMES)), limeDump(FRAMES)]) {
    expect((await open(bytes)).warnings).toBeUndefined();
  }
});
