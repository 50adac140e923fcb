/** `guest.memory(root)` and `guest.physicalMemory` of files: read, search, dump, and what is not there. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { attach } from '../../../src/guest/index.ts';
import { temporaryFolder } from '../../drivers/trace/temporary-folder.ts';

const TRACE = fileURLToPath(new URL('../../../traces/tour.trace', import.meta.url));
const file = temporaryFolder();
const [ROOT, PT, FRAME] = [0x1000, 0x4000, 0x6000];

/** Two pages from address 0 on, whose frames lie the other way round, and a hole after them. */
async function raw() {
  const memory = Buffer.alloc(1 << 20);
  const write = (pa: number, value: number) => void memory.writeBigUInt64LE(BigInt(value), pa);
  for (const slot of [0, 256, 511]) write(ROOT + 8 * slot, 0x2007);
  write(0x2000, 0x3007);
  write(0x3000, PT | 7);
  write(PT, (FRAME + 0x1000) | 7);
  write(PT + 8, FRAME | 7);
  memory.write('over the bor', FRAME + 0x2000 - 12);
  memory.write('der\0', FRAME);
  const path = file('raw');
  writeFileSync(path, memory);
  return attach(path, { root: BigInt(ROOT), paging: '4-level' });
}

test('an address space, and physical memory: the same calls, each by its own addresses', async () => {
  await using guest = await raw();
  const [space, physical] = [guest.memory(ROOT), guest.physicalMemory];
  expect(await space.readString(0xff4n)).toBe('over the border');
  expect(await physical.readString(BigInt(FRAME))).toBe('der');
  // The border of the pages is none of the frames. The kernel's half has the same tables, and so has its recursive half.
  expect(await space.search('over the border', { va: 0n, byteLength: 0x2000n })).toEqual([0xff4n]);
  expect((await space.search('over the border')).slice(0, 2)).toEqual([0xff4n, 0xffff_8000_0000_0ff4n]);
  expect(await physical.search('over the border')).toEqual([]);
  expect(await physical.search('der')).toEqual([BigInt(FRAME)]);
  await expect(space.read(0x1ff8n, 16)).rejects.toMatchObject({
    code: 'read-failed',
    message: '0x2000 of root 0x1000 cannot be read: no page is present',
  });
  await expect(physical.read((1n << 20n) - 8n, 16)).rejects.toMatchObject({
    code: 'read-failed',
    message: '0x100000 of physical memory cannot be read: the frame is not RAM, or is not in the file',
  });
  for (const memory of [space, physical])
    await expect(memory.write(0n, new Uint8Array(1))).rejects.toMatchObject({ code: 'bad-argument' });
});

test('a dump of physical memory has a hole where there is no RAM', async () => {
  await using guest = await raw();
  const path = file('dumped');
  const { presentBytes, absent } = await guest.physicalMemory.dump({ va: 0xff000n, byteLength: 0x3000n }, path);
  expect(presentBytes).toBe(0x1000);
  expect(absent.map(({ va, byteLength, absent: why }) => [va, byteLength, why])).toEqual([
    [0x10_0000n, 0x1000, 'not-ram'],
    [0x10_1000n, 0x1000, 'not-ram'],
  ]);
  expect(readFileSync(path).length).toBe(0x3000);
});

test('a trace has what was watched', async () => {
  await using guest = await attach(TRACE);
  const root = await guest.paused(async (moment) => moment.currentRoot());
  expect(await guest.physicalMemory.read(BigInt(root), 16)).toEqual(await guest.readPhysical(root, 16));
  expect(await guest.physicalMemory.search(await guest.readPhysical(root, 64))).toContain(BigInt(root));
});

test.each<[address: bigint, message: RegExp]>([
  [1n << 52n, /physical address 0x10000000000000 is not below 2\^52/],
  [-1n, /-1/],
])('physical address %s is refused', async (address, message) => {
  await using guest = await attach(TRACE);
  await expect(guest.physicalMemory.read(address, 8)).rejects.toMatchObject({
    code: 'bad-argument',
    message: expect.stringMatching(message),
  });
});
