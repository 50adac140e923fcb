/** Raw files whose positions are no physical addresses: the map that page tables agree on is proposed, and is the right one. */
import { closeSync, ftruncateSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { openDump } from '../../src/drivers/dump/index.ts';
import { findAddressSpace, findDroppedGaps, findRoots } from '../../src/snapshot/index.ts';
import { run } from '../cli/run.ts';
import { temporaryFolder } from '../drivers/qemu/launch/temporary-folder.ts';
import { PRESENT, SpaceBuilder, USER, WRITABLE } from './space.ts';

const PROCESSES = 12;
const KERNEL = 0xffff_8880_0000_0000n;

/** The memory of a guest with some processes, and the roots of them. */
function guest(salt = 0): { readonly memory: Buffer; readonly roots: readonly number[] } {
  const kernel = new SpaceBuilder();
  kernel.map(KERNEL, 420, 0n, PRESENT | WRITABLE);
  const { machine } = kernel;
  const roots = [kernel.root];
  for (let process = 0; process < PROCESSES; process++) {
    const root = kernel.newTable();
    // Tables are not side by side: what is between them is memory of the process.
    for (let page = 0; page < 3 + ((process + salt) % 4); page++) kernel.newTable();
    machine.put(root + 273n * 8n, machine.read(kernel.root + 273n * 8n, 8)!);
    let table = root;
    for (let level = 0; level < 3; level++) {
      for (let page = 0; page < (process * 5 + level * 3 + salt * (process + 1)) % 4; page++) kernel.newTable();
      const next = kernel.newTable();
      machine.put(table + BigInt(8 * (process % 3)), next | PRESENT | WRITABLE | USER);
      table = next;
    }
    machine.put(table, 0x5000n | PRESENT | USER);
    roots.push(root);
  }
  const { byteLength } = kernel.snapshot().regions[0]!;
  const pages = Array.from({ length: byteLength / 4096 }, (_, gfn) => {
    const page = machine.memory.page(gfn);
    return page === undefined ? Buffer.alloc(4096) : Buffer.from(page.slice().buffer);
  });
  return { memory: Buffer.concat(pages), roots: roots.map(Number) };
}

function fileOf(...parts: readonly Uint8Array[]): string {
  const path = join(temporaryFolder(), 'raw');
  writeFileSync(path, Buffer.concat(parts));
  return path;
}

const { memory, roots } = guest();
const MIB = 0x10_0000;

describe('a raw file', () => {
  test.each<[what: string, parts: readonly Uint8Array[], pieces: readonly (readonly [number, number])[]]>([
    [
      'of LiME without gaps: RAM from 0x1000 to 0x9fbff, and from 1 MiB',
      [memory.subarray(0x1000, 0x9_fc00), memory.subarray(MIB)],
      [
        [0x1000, 0],
        [MIB, 0x9_ec00],
      ],
    ],
    [
      'whose low memory has whole pages',
      [memory.subarray(0x1000, 0x9_f000), memory.subarray(MIB)],
      [
        [0x1000, 0],
        [MIB, 0x9_e000],
      ],
    ],
    ['that begins at 1 MiB', [memory.subarray(MIB)], [[MIB, 0]]],
    ['with a header', [Buffer.alloc(0x3000, 'header of 3 pages '), memory], [[0, 0x3000]]],
  ])('%s', async (_what, parts, pieces) => {
    const path = fileOf(...parts);
    const dump = await openDump(path);
    onTestFinished(() => dump.close());
    const found = await findDroppedGaps(dump);
    expect(found?.map(({ pa, position }) => [pa, position])).toEqual(pieces);
    await expect(findAddressSpace(dump)).rejects.toMatchObject({ code: 'bad-argument' });
    for (const command of ['map', 'roots']) {
      const { code, stdout, stderr } = await run([command, path]);
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
      expect(stderr).toContain('the positions in this file are not physical addresses');
      // The map that it proposes is the right one.
      const [, map] = /--ram-map (\S+);/.exec(stderr) ?? [];
      const mapped = await openDump(path, { ramMap: map! });
      onTestFinished(() => mapped.close());
      const sure = (await findRoots(mapped)).filter(({ confidence }) => confidence === 'sure');
      expect(sure.map(({ root }) => root).sort()).toEqual([...roots].sort());
    }
  });

  test('that is too large to lie in one piece, as the RAM file of q35', { timeout: 180_000 }, async () => {
    const [GIB, LOW] = [2 ** 30, 2 * 2 ** 30];
    // Other tables, for memory from 4 GiB on.
    const high = guest(1).memory;
    for (let at = MIB; at < high.length; at += 8) {
      const entry = high.readBigUInt64LE(at);
      if ((entry & 1n) !== 0n && entry >= BigInt(MIB)) high.writeBigUInt64LE(entry + 4n * BigInt(GIB), at);
    }
    const path = fileOf();
    const fd = openSync(path, 'r+');
    ftruncateSync(fd, 2.75 * GIB);
    writeSync(fd, memory, 0, memory.length, 0);
    writeSync(fd, high, 0, high.length, LOW);
    closeSync(fd);
    const { code, stderr } = await run(['roots', path]);
    expect(code).toBe(2);
    expect(stderr).toContain('--ram-map 0x0+0x80000000@0x0,0x100000000+0x30000000@0x80000000;');
  });

  test('whose positions are addresses is left alone, and so is one that a map places', async () => {
    for (const options of [{}, { ramMap: '0x100000+1M@0' }]) {
      const dump = await openDump(fileOf(memory), options);
      onTestFinished(() => dump.close());
      expect(await findDroppedGaps(dump)).toBeUndefined();
    }
  });

  test('without page tables is left alone', async () => {
    const dump = await openDump(fileOf(Buffer.alloc(MIB, 'no page tables here, ')), { ramMap: '0x0+1M@0' });
    onTestFinished(() => dump.close());
    expect(await findDroppedGaps({ ...dump, rawBytes: MIB })).toBeUndefined();
  });
});
