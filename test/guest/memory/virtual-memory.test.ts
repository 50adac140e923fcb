import { existsSync } from 'node:fs';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import type { MemoryPiece } from '../../../src/guest/memory/virtual-memory.ts';
import { dumpRange, search, VirtualMemory } from '../../../src/guest/index.ts';
import { temporaryFolder } from '../../drivers/trace/temporary-folder.ts';
import { LARGE, PRESENT, SpaceBuilder, USER, WRITABLE } from '../../snapshot/space.ts';

const VA = 0x7f00_0000_0000n;

/** Two pages in reverse order of frames, then a page that is not there, then one whose frame is not RAM. */
function madeSpace(): { memory: VirtualMemory; bytes: Buffer } {
  const builder = new SpaceBuilder();
  const bytes = Buffer.alloc(0x2000, 'abcdefghijklmnopqrstuvwxyz0');
  const { memory } = builder.machine;
  memory.addPage(0x201);
  memory.addPage(0x200);
  memory.write(0x20_1000, bytes.subarray(0, 0x1000));
  memory.write(0x20_0000, bytes.subarray(0x1000));
  builder
    .map(VA, 1, 0x20_1000n)
    .map(VA + 0x1000n, 1, 0x20_0000n)
    .map(VA + 0x3000n, 1, 0x999_0000n);
  return { memory: memoryOf(builder), bytes };
}

function memoryOf({ machine: { paging, memory }, root }: SpaceBuilder): VirtualMemory {
  return new VirtualMemory({ memory }, { paging, root: Number(root) });
}

async function all(pieces: AsyncIterable<MemoryPiece>): Promise<MemoryPiece[]> {
  const list: MemoryPiece[] = [];
  for await (const piece of pieces) list.push(piece);
  return list;
}

describe('what is there', () => {
  test.each([
    [0n, 0x2000],
    [1n, 7],
    [0xffdn, 6],
    [0xff1n, 0x100f],
    [5n, 0],
  ])('at offset %i, %i bytes', async (offset, byteLength) => {
    const { memory, bytes } = madeSpace();
    const at = Number(offset);
    expect(Buffer.from(await memory.read(VA + offset, byteLength))).toEqual(bytes.subarray(at, at + byteLength));
  });

  test('a text ends with its zero byte, and before a page that is not there', async () => {
    const builder = new SpaceBuilder();
    builder.machine.memory.addPage(0x300);
    builder.machine.memory.write(0x30_0ff0, Buffer.from('/bin/busybox\0xyz'));
    builder.map(VA, 1, 0x30_0000n);
    const memory = memoryOf(builder);
    expect(await memory.readString(VA + 0xff0n)).toBe('/bin/busybox');
    expect(await memory.readString(VA + 0xff0n, 4)).toBe('/bin');
    builder.machine.memory.write(0x30_0ffc, Buffer.from('zzzz'));
    builder.machine.memory.write(0x30_0ff0, Buffer.from('0123456789ab'));
    await expect(memory.readString(VA + 0xff0n)).rejects.toMatchObject({
      code: 'read-failed',
      facts: { va: VA + 0x1000n },
    });
  });

  test('a large page is read across, from an offset in it', async () => {
    const builder = new SpaceBuilder();
    builder.put(VA, 2, 0x40_0000n | PRESENT | WRITABLE | USER | LARGE);
    for (const gfn of [0x4ff, 0x500]) builder.machine.memory.addPage(gfn);
    builder.machine.memory.write(0x4f_fffe, Buffer.from('over'));
    const memory = memoryOf(builder);
    expect(Buffer.from(await memory.read(VA + 0xf_fffen, 4)).toString()).toBe('over');
  });
});

describe('what is not there', () => {
  test('is reported with its reason, never filled with zeroes', async () => {
    const { memory } = madeSpace();
    const pieces = await all(memory.pieces(VA, 0x6000n));
    expect(pieces.map((piece) => ('absent' in piece ? [piece.va, piece.byteLength, piece.absent] : piece.va))).toEqual([
      VA,
      VA + 0x1000n,
      [VA + 0x2000n, 0x1000, 'not-present'],
      [VA + 0x3000n, 0x1000, 'not-ram'],
      [VA + 0x4000n, 0x2000, 'not-present'],
    ]);
  });

  test.each([
    [VA + 0x1ffcn, 8, 'read-failed', /0x7f0000002000 of root 0x[\da-f]+ cannot be read: no page is present/],
    [VA + 0x3000n, 1, 'read-failed', /not RAM/],
    [1n << 47n, 1, 'read-failed', /not canonical/],
    [VA, -1, 'bad-argument', /byteLength -1/],
    [VA, 2 ** 29, 'bad-argument', /268435456/],
    [
      VA,
      4n as never,
      'bad-argument',
      /byteLength 4: give an integer from 0 to 268435456, as a number and not as a bigint/,
    ],
    [(1n << 64n) - 4n, 16, 'bad-argument', /16 bytes at 0xfffffffffffffffc end above 2\^64/],
  ])('read(%i, %i) throws %s', async (va, byteLength, code, message) => {
    const { memory } = madeSpace();
    await expect(memory.read(va, byteLength)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });

  test('C8 a terabyte of nothing costs few walks', async () => {
    const { memory } = madeSpace();
    const pieces = await all(memory.pieces(0n, 1n << 40n));
    expect(pieces).toHaveLength(1);
    expect(pieces[0]).toMatchObject({ va: 0n, byteLength: 2 ** 40, absent: 'not-present' });
  });

  test.each([
    ['from a page on', 1n << 47n, (1n << 64n) - (1n << 48n)],
    ['from within a page on', (1n << 47n) + 5n, (1n << 64n) - (1n << 48n) - 5n],
    ['up to within a page', (1n << 47n) + 5n, (1n << 64n) - (1n << 48n) - 10n],
  ])('C8 the hole between the halves costs few walks: %s', async (_how, va, byteLength) => {
    const { memory } = madeSpace();
    let [at, walks] = [va, 0];
    for await (const piece of memory.pieces(va, byteLength)) {
      expect(piece).toMatchObject({ va: at, absent: 'non-canonical' });
      at += BigInt((piece as { byteLength: number }).byteLength);
      walks++;
    }
    expect(at).toBe(va + byteLength);
    expect(walks).toBeLessThan(4);
  });

  test('C8 all of the address space is searched', async () => {
    const { memory } = madeSpace();
    const found: bigint[] = [];
    for await (const va of search(memory, '0abc', { va: 0n, byteLength: (1n << 64n) - 1n })) found.push(va);
    expect(found[0]).toBe(VA + 26n);
  });

  test('of a guest with a known Linux, an error says in which slot of the swap a page is', async () => {
    const builder = new SpaceBuilder();
    builder.put(VA, 1, 0x7_fe00n);
    const { machine, root } = builder;
    const linux = { meaningOf: () => ({ kind: 'swapped', device: 0, slot: 17 }) as const };
    const space = { paging: machine.paging, root: Number(root) };
    const memory = new VirtualMemory({ memory: machine.memory }, space, { name: 'nginx[412]', linux });
    await expect(memory.read(VA, 8)).rejects.toThrow(
      '0x7f0000000000 of nginx[412] cannot be read: swapped out to device 0, slot 17',
    );
  });
});

describe('dump', () => {
  const file = temporaryFolder();

  test.each([
    [{ va: 0n, byteLength: (1n << 64n) - 1n }, /more than a file can have/],
    [{ va: 0n, byteLength: -4096n }, /byteLength -4096/],
  ])('of a range that cannot be is refused, and no file is made: %#', async (range, message) => {
    const path = file('never.bin');
    await expect(dumpRange(madeSpace().memory, { ...range, path })).rejects.toThrow(message);
    expect(existsSync(path)).toBe(false);
  });

  test('a file that cannot be completed is removed', async () => {
    const { memory } = madeSpace();
    const path = file('partial.bin');
    // No file system has a file that long.
    await expect(dumpRange(memory, { va: 0n, byteLength: 1n << 52n, path })).rejects.toMatchObject({
      code: expect.stringMatching(/EFBIG|EINVAL/),
    });
    expect(existsSync(path)).toBe(false);
  });

  test('a path that is none is refused', async () => {
    const { memory } = madeSpace();
    await expect(dumpRange(memory, { va: VA, byteLength: 1n, path: 7 as never })).rejects.toThrow(/is no path: 7/);
  });
});

describe('search', () => {
  test('finds what lies across two pages whose frames are not neighbours', async () => {
    const { memory, bytes } = madeSpace();
    const wanted = bytes.subarray(0xffa, 0x1008);
    const found: bigint[] = [];
    const absent: bigint[] = [];
    const options = { va: VA, byteLength: 0x4000n, onAbsent: (piece: { va: bigint }) => absent.push(piece.va) };
    for await (const va of search(memory, wanted, options)) found.push(va - VA);
    const expected: bigint[] = [];
    for (let at = bytes.indexOf(wanted); at >= 0; at = bytes.indexOf(wanted, at + 1)) expected.push(BigInt(at));
    expect(found).toEqual(expected);
    expect(found).toContain(0xffan);
    expect(absent).toEqual([VA + 0x2000n, VA + 0x3000n]);
  });

  test('an empty pattern is refused', async () => {
    const { memory } = madeSpace();
    await expect(all(search(memory, '', { va: VA, byteLength: 1n }) as never)).rejects.toMatchObject({
      code: 'bad-argument',
    });
  });
});

test('bytes of another realm, as a prompt makes them, are bytes', async () => {
  const { memory, bytes } = madeSpace();
  const abc: unknown = runInNewContext('new Uint8Array([0x61, 0x62, 0x63])');
  const found: bigint[] = [];
  for await (const va of search(memory, abc as Uint8Array, { va: VA, byteLength: 0x2000n })) found.push(va);
  expect(found[0]).toBe(VA);
  expect(found).toHaveLength(bytes.toString('latin1').split('abc').length - 1);
});
