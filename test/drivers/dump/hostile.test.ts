/** Files that are not what they say: each is refused with its name, the offset, and what is wrong there; none takes long. */
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { describe, expect, onTestFinished, test } from 'vitest';
import { PtmonError } from '../../../src/core/error.ts';
import { openDump } from '../../../src/drivers/dump/index.ts';
import {
  CPU,
  dumpFile,
  elfDump,
  flattened,
  flattenedOf,
  framesOf,
  kdumpDump,
  limeDump,
  notesOf,
  PAGE,
  pageOf,
} from './write-dump.ts';

const FRAMES = framesOf([0, 1, 2, 3, 0x100, 0x101]);

type Change = (bytes: Buffer) => unknown;

/** Opens and reads the first page; answers the error, which names the file. */
async function errorOf(bytes: Uint8Array): Promise<PtmonError> {
  const path = dumpFile(bytes);
  const error: unknown = await (async () => {
    const dump = await openDump(path);
    onTestFinished(() => dump.close());
    dump.memory.readEntry(0, 8, new Uint32Array(2));
  })().catch((cause: unknown) => cause);
  if (!(error instanceof PtmonError)) throw new Error(`not refused: ${String(error)}`);
  expect(error.message).toContain(path);
  return error;
}

function changed(bytes: Buffer, change: Change): Buffer {
  change(bytes);
  return bytes;
}

const u16 = (value: number, at: number) => (bytes: Buffer) => bytes.writeUInt16LE(value, at);
const u32 = (value: number, at: number) => (bytes: Buffer) => bytes.writeUInt32LE(value, at);
const u64 = (value: bigint, at: number) => (bytes: Buffer) => bytes.writeBigUInt64LE(BigInt.asUintN(64, value), at);

/** The program headers of `elfDump`. */
const PROGRAMS = 128;
const NOTES = PROGRAMS + 3 * 56;

describe('an ELF core', () => {
  test.each<[what: string, change: Change, offset: number, why: string]>([
    ['of class 3', (bytes) => (bytes[4] = 3), 4, 'ELF class 3 is neither 32-bit nor 64-bit'],
    ['that is big-endian', (bytes) => (bytes[5] = 2), 5, 'no x86 machine is'],
    ['that is a program', u16(2, 16), 16, 'an ELF file, but not a core file'],
    ['of another machine', u16(183, 18), 18, 'the core of machine 183'],
    ['with program headers of another size', u16(64, 54), 54, 'program headers have 64 bytes each'],
    [
      'with its headers beyond the file',
      u64(1n << 40n, 32),
      2 ** 40,
      'a table of program headers of 168 bytes does not fit',
    ],
    ['with its headers beyond everything', u64(-1n, 32), 2 ** 64, 'does not fit'],
    ['that says where its number of headers is, and lies', u16(0xffff, 56), PROGRAMS, 'it has no page of memory'],
    [
      'of four billion headers',
      (bytes) => [u16(0xffff, 56)(bytes), u32(0xffffffff, 64 + 44)(bytes)],
      56,
      '4294967295 program headers',
    ],
    [
      'of many headers, and nothing says how many',
      (bytes) => [u16(0xffff, 56)(bytes), u64(0n, 40)(bytes)],
      56,
      'nothing says how many',
    ],
    ['without memory', (bytes) => [1, 2].map((at) => u32(2, PROGRAMS + at * 56)(bytes)), 0, 'it has no page of memory'],
  ])('%s', async (_what, change, offset, why) => {
    const error = await errorOf(changed(elfDump(FRAMES), change));
    expect(error.message).toContain(why);
    if (why.includes('no page of memory') && offset !== 0) return;
    expect(error).toMatchObject({ code: 'corrupt-input', facts: { offset } });
  });

  test('cut off anywhere', async () => {
    const whole = elfDump(FRAMES);
    for (const length of [4, 10, 20, 63, 64, 100, PROGRAMS + 10, NOTES, NOTES + 20]) {
      expect(await errorOf(whole.subarray(0, length)), `${length} bytes`).toMatchObject({ code: 'corrupt-input' });
    }
  });

  test('whose memory is in more pieces than any machine has', async () => {
    const many = new Map(Array.from({ length: 70_000 }, (_, index) => [index * 2, new Uint8Array()]));
    const bytes = elfDump(new Map([...many].map(([gfn]) => [gfn, PIECE])), { extended: true });
    expect((await errorOf(bytes)).message).toContain('in more than 65536 pieces');
  });
});

const PIECE = new Uint8Array(PAGE);

describe('a kdump', () => {
  const DESCRIPTORS = 4 * PAGE;
  const make = () => kdumpDump(FRAMES);

  test.each<[what: string, change: Change, offset: number, why: string]>([
    ['of version 16', u32(16, 8), 8, "unknown version 16 of kdump's format"],
    ['of version 0', u32(0, 8), 8, 'version 0'],
    ['of another machine', (bytes) => bytes.write('aarch64\0', 272), 272, 'a machine "aarch64", not of an x86 one'],
    ['with blocks of 64 KiB', u32(65536, 428), 428, 'its blocks are of 65536 bytes'],
    ['with a sub header beyond the file', u32(1 << 20, 432), (2 ** 20 + 1) * PAGE, 'the bitmaps of page frames'],
    ['with bitmaps beyond the file', u32(1 << 20, 436), 2 * PAGE, 'the bitmaps of page frames of 4294967296 bytes'],
    ['with a page of no bytes', u32(0, DESCRIPTORS + 8), DESCRIPTORS, 'a size of 0 bytes'],
    ['with a page of too many bytes', u32(4097, DESCRIPTORS + 8), DESCRIPTORS, 'a size of 4097 bytes'],
    ['with a page beyond the file', u64(1n << 50n, DESCRIPTORS), DESCRIPTORS, 'leads beyond the end of the file'],
    [
      'with a page that is not compressed as it says',
      u32(1, DESCRIPTORS + 12),
      DESCRIPTORS + 144,
      'the page at 0x0 cannot be decompressed',
    ],
    ['with a page of two compressions', u32(3, DESCRIPTORS + 12), DESCRIPTORS + 144, 'flags 0x3 name no compression'],
  ])('%s', async (_what, change, offset, why) => {
    const error = await errorOf(changed(make(), change));
    expect(error.message).toContain(why);
    expect(error).toMatchObject({ code: 'corrupt-input', facts: { offset } });
  });

  test('that is one part of several', async () => {
    expect(await errorOf(kdumpDump(FRAMES, { split: 1 }))).toMatchObject({
      code: 'source-unavailable',
      message: expect.stringContaining('makedumpfile --reassemble') as string,
    });
  });

  test('hurts only those who need the page that is spoiled', async () => {
    const dump = await openDump(dumpFile(changed(make(), u32(1, DESCRIPTORS + 12))));
    onTestFinished(() => dump.close());
    expect(() => dump.readBytes(0, PAGE)).toThrow(/cannot be decompressed/);
    expect(Buffer.from(dump.readBytes(PAGE, PAGE)!).equals(pageOf(1))).toBe(true);
    expect(() => dump.readBytes(0, PAGE)).toThrow(/cannot be decompressed/);
  });

  test('of 8 TiB, most of it holes, is opened soon, and in little memory', async () => {
    const frames = 2 ** 31;
    const bitmapBlocks = (frames / 8 / PAGE) * 2;
    const head = changed(kdumpDump(framesOf([0])).subarray(0, 2 * PAGE), (bytes) => {
      u32(bitmapBlocks, 436)(bytes);
      u64(BigInt(frames), PAGE + 96)(bytes);
    });
    const path = dumpFile(head);
    const fd = openSync(path, 'r+');
    // The very last frame is there.
    const end = (2 + bitmapBlocks) * PAGE;
    ftruncateSync(fd, end + 24 + PAGE);
    for (const bitmap of [0.5, 1])
      writeSync(fd, Uint8Array.of(0x80), 0, 1, 2 * PAGE + bitmapBlocks * bitmap * PAGE - 1);
    const descriptor = Buffer.alloc(24);
    descriptor.writeBigUInt64LE(BigInt(end + 24));
    descriptor.writeUInt32LE(PAGE, 8);
    writeSync(fd, Buffer.concat([descriptor, pageOf(7)]), 0, 24 + PAGE, end);
    closeSync(fd);
    const [start, before] = [performance.now(), process.memoryUsage().arrayBuffers];
    const dump = await openDump(path);
    onTestFinished(() => dump.close());
    expect(Buffer.from(dump.readBytes((frames - 1) * PAGE, PAGE)!).equals(pageOf(7))).toBe(true);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * 2 ** 20);
    process.stdout.write(`8 TiB: ${(performance.now() - start).toFixed(0)} ms\n`);
  });

  test('can be given up while it is opened', async () => {
    const reason = new Error('enough');
    await expect(openDump(dumpFile(flattened(make())), { signal: AbortSignal.abort(reason) })).resolves.toBeDefined();
  });
});

describe('a flattened dump', () => {
  const whole = kdumpDump(FRAMES);
  const make = () => flattenedOf([{ target: 0, bytes: whole }]);
  const be = (value: bigint, at: number) => (bytes: Buffer) => bytes.writeBigInt64BE(value, at);

  test.each<[what: string, change: (bytes: Buffer) => unknown, offset: number, why: string]>([
    ['of another version', be(2n, 24), 16, 'type 1, version 2 of the flattened format'],
    ['with a record at no position', be(-2n, PAGE), PAGE, 'for position -2 makes no sense'],
    ['with a record of no bytes', be(0n, PAGE + 8), PAGE, 'a record of 0 bytes'],
    ['with a record of less', be(-5n, PAGE + 8), PAGE, 'a record of -5 bytes'],
    ['with a record beyond everything', be((1n << 63n) - 1n, PAGE), PAGE, 'makes no sense'],
  ])('%s', async (_what, change, offset, why) => {
    const error = await errorOf(changed(make(), change));
    expect(error.message).toContain(why);
    expect(error).toMatchObject({ code: 'corrupt-input', facts: { offset } });
  });

  test('with records over each other without end', async () => {
    const records = Array.from({ length: 5000 }, () => ({ target: 0, bytes: whole.subarray(0, 16) }));
    expect((await errorOf(flattenedOf(records))).message).toContain('more than 4096 records lie over others');
  });

  test('that holds less than it should', async () => {
    const error = await errorOf(flattenedOf([{ target: 0, bytes: whole.subarray(0, whole.length - 6 * PAGE - 10) }]));
    expect(error).toMatchObject({ code: 'corrupt-input' });
  });

  test('that holds nothing', async () => {
    expect(await errorOf(flattenedOf([]))).toMatchObject({ code: 'corrupt-input' });
  });
});

describe('LiME', () => {
  test.each<[what: string, change: Change, offset: number, why: string]>([
    ['of another version', u32(2, 4), 4, "version 2 of LiME's format"],
    ['with a range that ends before it begins', u64(8n, 8), 8, 'ends before it begins'],
  ])('%s', async (_what, change, offset, why) => {
    const bytes = limeDump(FRAMES);
    if (why.startsWith('ends before')) u64(0n, 16)(bytes);
    const error = await errorOf(changed(bytes, change));
    expect(error.message).toContain(why);
    expect(error).toMatchObject({ code: 'corrupt-input', facts: { offset } });
  });

  test('of ranges without end', async () => {
    const range = Buffer.concat([limeDump(framesOf([0])).subarray(0, 32), Buffer.alloc(1)]);
    u64(0n, 16)(range);
    const error = await errorOf(Buffer.concat(Array.from({ length: 70_000 }, () => range)));
    expect(error.message).toContain('more than 65536 ranges');
  });
});

describe('what is none of these', () => {
  test('raw memory that a map does not fit, or that needs one', async () => {
    const path = dumpFile(Buffer.alloc(4 * PAGE));
    await expect(openDump(path, { ramMap: '0x0+20K@0' })).rejects.toMatchObject({ code: 'bad-argument' });
    const fd = openSync(path, 'r+');
    ftruncateSync(fd, 3 * 2 ** 30);
    closeSync(fd);
    await expect(openDump(path)).rejects.toThrow(/so a map must be given: for QEMU's pc machine 0x0\+3G@0x0/);
  });
});

test('a dump that is closed is read no more', async () => {
  const dump = await openDump(dumpFile(elfDump(FRAMES, { notes: notesOf([CPU]) })));
  await dump.close();
  await dump.close();
  expect(() => dump.memory.readEntry(0, 8, new Uint32Array(2))).toThrow(/is closed/);
});
