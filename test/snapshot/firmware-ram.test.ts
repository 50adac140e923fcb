/** Raw memory that was cut off in front of some of its tables: the firmware's list of RAM tells. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { hex } from '../../src/core/address/va.ts';
import { openDump } from '../../src/drivers/dump/index.ts';
import { findRoots } from '../../src/snapshot/index.ts';
import { run } from '../cli/run.ts';
import { dumpFile } from '../drivers/dump/write-dump.ts';
import { LARGE, PRESENT, SpaceBuilder, WRITABLE } from './space.ts';

const DIRECT_MAP = 0xffff_8880_0000_0000n;
const FAR = 0xffff_fe00_0000_0000n;
const RAM_BYTES = 0x20_0000;

/** A kernel with two more roots, and one that maps memory where it is. The last tables of the file are those of `FAR`. */
function guest() {
  const kernel = new SpaceBuilder();
  const { machine } = kernel;
  const [identity, pointers, directory] = [kernel.newTable(), kernel.newTable(), kernel.newTable()];
  machine.put(identity, pointers | PRESENT | WRITABLE);
  machine.put(pointers, directory | PRESENT | WRITABLE);
  machine.put(directory, PRESENT | WRITABLE | LARGE);
  const roots = [kernel.root, kernel.newTable(), kernel.newTable()];
  kernel.map(DIRECT_MAP, 512, 0n, PRESENT | WRITABLE);
  const needed = Number(kernel.newTable());
  kernel.map(FAR, 1, 0x5000n, PRESENT | WRITABLE);
  for (const root of roots.slice(1)) {
    for (let at = 256n * 8n; at < 4096n; at += 8n) machine.put(root + at, machine.read(kernel.root + at, 8)!);
  }
  const memory = Buffer.alloc(RAM_BYTES);
  for (let gfn = 0; gfn < RAM_BYTES / 4096; gfn++) {
    const page = machine.memory.page(gfn);
    if (page !== undefined) memory.set(new Uint8Array(page.slice().buffer), gfn * 4096);
  }
  return { memory, needed, roots: roots.map(Number), identity: Number(identity) };
}

/** Puts a `boot_params` with a list of RAM where no page begins. */
function withList(
  memory: Buffer,
  ranges: readonly (readonly [pa: number, byteLength: number, type: number])[],
): Buffer {
  const listing = Buffer.from(memory);
  const at = 0x1_47b0;
  listing[at + 0x1e8] = ranges.length;
  listing.writeUInt16LE(0xaa55, at + 0x1fe);
  listing.write('HdrS', at + 0x202, 'latin1');
  for (const [index, [pa, byteLength, type]] of ranges.entries()) {
    listing.writeBigUInt64LE(BigInt(pa), at + 0x2d0 + index * 20);
    listing.writeBigUInt64LE(BigInt(byteLength), at + 0x2d8 + index * 20);
    listing.writeUInt32LE(type, at + 0x2e0 + index * 20);
  }
  return listing;
}

const { memory, needed, roots, identity } = guest();
const LISTED = withList(memory, [
  [0, 0x9_fc00, 1],
  [0xf_0000, 0x1_0000, 2],
  [0x10_0000, RAM_BYTES - 0x10_0000, 1],
  [0xfffc_0000, 0x4_0000, 2],
]);

async function rootsIn(bytes: Uint8Array) {
  const dump = await openDump(dumpFile(bytes));
  onTestFinished(() => dump.close());
  return findRoots(dump);
}

describe('a raw file that ends in front of a table', () => {
  const cut = LISTED.subarray(0, needed);

  test('has the roots of the whole file, and says how much is missing', async () => {
    const sure = (await rootsIn(cut)).filter(({ confidence }) => confidence === 'sure');
    expect(sure.map(({ root }) => root)).toEqual(roots);
    expect(new Set(sure.map(({ cutOffBytes }) => cutOffBytes))).toEqual(new Set([RAM_BYTES - needed]));
    const whole = await rootsIn(LISTED);
    expect(whole.map(({ cutOffBytes, ...root }) => [cutOffBytes, root])).toContainEqual([undefined, whole[0]]);
    expect(whole.filter(({ confidence }) => confidence === 'sure').map(({ root }) => root)).toEqual(roots);
  });

  test('maps what is there, and names what is not', async () => {
    const { code, stdout, stderr } = await run(['map', dumpFile(cut)]);
    expect([code, stderr]).toEqual([5, expect.anything()]);
    expect(stdout).toContain(hex(DIRECT_MAP));
    expect(stderr).toContain(`the file is truncated: by the firmware's list of RAM, ${RAM_BYTES - needed} bytes are`);
    expect(stderr).toContain('1 page table is missing');
    const found = await run(['roots', dumpFile(cut)]);
    expect(found).toMatchObject({ code: 0, stderr: expect.stringContaining('the file is truncated: by the firmware') });
  });

  test('is not read by the root of a boot loader, if no other is left', async () => {
    const little = LISTED.subarray(0, identity + 3 * 4096);
    const [best] = await rootsIn(little);
    expect(best).toMatchObject({ root: identity, confidence: 'likely', maps: 'identity' });
    const { code, stdout, stderr } = await run(['map', dumpFile(little)]);
    expect([code, stdout]).toEqual([3, '']);
    expect(stderr).toContain('no page table in this memory that is certainly a root');
    expect(stderr).toContain('the file is truncated');
  });

  test.each<[string, Buffer]>([
    ['no list', memory],
    ['a list of what is there', withList(memory, [[0, needed, 1]])],
    ['a list that does not begin with RAM', withList(memory, [[0, RAM_BYTES, 2]])],
    ['a list with gaps in front of it', withList(memory, [[0x1000, RAM_BYTES, 1]])],
    ['a list of more than there can be', withList(memory, [[0, 2 ** 53, 1]])],
    ['an empty list', withList(memory, [])],
  ])('with %s, is not said to be truncated', async (_, bytes) => {
    for (const { cutOffBytes, confidence } of await rootsIn(bytes.subarray(0, needed))) {
      expect({ cutOffBytes, confidence }).toEqual({ confidence: expect.not.stringMatching('sure') });
    }
  });
});
