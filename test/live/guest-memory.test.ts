/** The ways into a real QEMU's memory: all of them read what QEMU itself saves, at every address. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { open as openFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { describe, expect, onTestFinished, test } from 'vitest';
import { READ_NO_MEMORY, READ_OK } from '../../src/core/memory/physical-memory.ts';
import { GdbClient } from '../../src/drivers/qemu/gdb/index.ts';
import { type GuestMemory, type GuestMemoryOptions, openGuestMemory } from '../../src/drivers/qemu/memory/index.ts';
import { QmpClient } from '../../src/drivers/qemu/qmp/index.ts';
import { temporaryFolder } from '../drivers/qemu/transport/peer.ts';
import { hasQemu, startFirmware } from './firmware-guest.ts';

const [KIB, MIB, GIB] = [2 ** 10, 2 ** 20, 2 ** 30];

interface Guest {
  readonly qmp: QmpClient;
  readonly gdb: GdbClient;
  /** Bytes as QEMU saves them. */
  save(pa: number, byteLength: number): Promise<Buffer>;
  /** Reads by whichever way. */
  open(options: Omit<GuestMemoryOptions, 'qmp' | 'gdb'>): Promise<GuestMemory>;
}

/** A guest whose firmware has run for a while, and which stands still. */
async function start(more: readonly string[], kind: 'unix' | 'tcp' = 'unix'): Promise<Guest> {
  const guest = await startFirmware(kind, more);
  const qmp = await QmpClient.connect(guest.qmp);
  const gdb = await GdbClient.connect(guest.gdb);
  onTestFinished(async () => {
    gdb.close();
    await qmp.close();
  });
  await gdb.continue({ signal: AbortSignal.timeout(1500) });
  const folder = temporaryFolder();
  return {
    qmp,
    gdb,
    async save(pa, byteLength) {
      const filename = join(folder, `saved-${pa}`);
      await qmp.execute('pmemsave', { val: pa, size: byteLength, filename });
      return readFileSync(filename);
    },
    async open(options) {
      const memory = await openGuestMemory({ qmp, gdb, ...options });
      onTestFinished(() => memory.close());
      return memory;
    },
  };
}

function memoryFile(size: string, id = 'mem'): string[] {
  const path = join(temporaryFolder(), `ram-${id}`);
  return ['-object', `memory-backend-file,id=${id},size=${size},mem-path=${path},share=on`];
}

/** Entry by entry and byte by byte, it is what QEMU saves. */
async function expectSame(memory: GuestMemory, guest: Guest, pa: number, byteLength: number): Promise<Buffer> {
  const saved = await guest.save(pa, byteLength);
  expect(saved.equals((await memory.readBytes(pa, byteLength))!), `0x${pa.toString(16)} by ${memory.kind}`).toBe(true);
  const entry = new Uint32Array(2);
  await memory.remote?.fetch(Array.from({ length: byteLength / 4096 }, (_, page) => pa + page * 4096));
  for (let at = 0; at < byteLength; at += 8) {
    const outcome = memory.memory.readEntry(pa + at, 8, entry);
    if (outcome !== READ_OK || entry[0] !== saved.readUInt32LE(at) || entry[1] !== saved.readUInt32LE(at + 4)) {
      expect([outcome, ...entry], `0x${(pa + at).toString(16)}`).toEqual([READ_OK, saved.subarray(at, at + 8)]);
    }
  }
  return saved;
}

const isHere = hasQemu("test/live/guest-memory, the ways into a real QEMU's memory");

describe.skipIf(!isHere)('the memory of a real QEMU', { timeout: 120_000 }, () => {
  test.each(['unix', 'tcp'] as const)('is what QEMU saves, by every way, over %s', async (kind) => {
    const backend = memoryFile('16M');
    const guest = await start([...backend, '-machine', 'memory-backend=mem', '-device', 'VGA'], kind);
    for (const way of ['file', 'process', 'gdb'] as const) {
      const memory = await guest.open({ kind: way });
      expect(memory.kind).toBe(way);
      process.stdout.write(`${memory.description}\n`);
      const low = await expectSame(memory, guest, 0, 640 * KIB);
      // The firmware wrote its vectors there.
      expect(low.subarray(0, 1024).some((byte) => byte !== 0)).toBe(true);
      const rom = await expectSame(memory, guest, 0xf_0000, 64 * KIB);
      expect(rom.some((byte) => byte !== 0)).toBe(true);
      await expectSame(memory, guest, 16 * MIB - 64 * KIB, 64 * KIB);
      const entry = new Uint32Array(2);
      await memory.remote?.fetch([16 * MIB, 0xfee0_0000]);
      for (const hole of [16 * MIB, 0xfee0_0000]) expect(memory.memory.readEntry(hole, 8, entry)).toBe(READ_NO_MEMORY);
    }
    expect(await guest.open({})).toMatchObject({ kind: 'file' });
  });

  test.each([
    ['pc', 3 * GIB],
    ['q35', 2 * GIB],
  ])('of more than 4 GiB on %s has a hole where QEMU says', async (machine, low) => {
    const guest = await start(['-m', '6G', ...memoryFile('6G'), '-machine', `${machine},memory-backend=mem`]);
    const [file, own, stub] = [
      await guest.open({ kind: 'file' }),
      await guest.open({ kind: 'process' }),
      await guest.open({ kind: 'gdb' }),
    ];
    const places = [0, low - 64 * KIB, 4 * GIB, 10 * GIB - low - 64 * KIB];
    // Something to see on the other side of the hole, which the firmware leaves alone.
    for (const [at, pa] of places.slice(1).entries()) {
      await writePhysical(guest, file, pa, at + 1);
    }
    for (const memory of [file, own, stub]) {
      memory.clear();
      for (const [at, pa] of places.entries()) {
        const saved = await expectSame(memory, guest, pa, 64 * KIB);
        if (at > 0) expect(saved[100]).toBe(at);
      }
      for (const hole of [low, 4 * GIB - 2 * MIB, 10 * GIB - low]) {
        expect(await memory.readBytes(hole, 8), `0x${hole.toString(16)} by ${memory.kind}`).toBeUndefined();
      }
    }
  });

  test('of two NUMA nodes is in two files', async () => {
    const nodes = [...memoryFile('64M', 'near'), ...memoryFile('64M', 'far')];
    const guest = await start(['-m', '128M', ...nodes, '-numa', 'node,memdev=near', '-numa', 'node,memdev=far']);
    const memory = await guest.open({});
    expect(memory.description).toMatch(/^RAM file .*ram-near, .*ram-far, 128 MiB$/);
    await expectSame(memory, guest, 63 * MIB, 2 * MIB);
  });

  test('without a file is read in QEMU, and a file that is not shared is not believed', async () => {
    const backend = memoryFile('16M').map((word) => word.replace('share=on', 'share=off'));
    for (const [flags, why] of [
      [[], /QEMU's own memory, process \d+, 16 MiB; not a RAM file: pc.ram is a memory-backend-ram/],
      [
        ['-object', 'memory-backend-memfd,id=mem,size=16M', '-machine', 'memory-backend=mem'],
        /mem is a memory-backend-memfd/,
      ],
      [[...backend, '-machine', 'memory-backend=mem'], /mem is not shared/],
    ] as const) {
      const guest = await start(flags);
      const memory = await guest.open({});
      expect(memory.description).toMatch(why);
      expect(memory.kind).toBe('process');
      await expectSame(memory, guest, 0, 640 * KIB);
    }
  });

  test.each([
    ['a memfd', () => ['memory-backend-memfd,id=mem,size=16M,share=on'], /a file without a path/],
    [
      'a nameless file in a folder, as for huge pages',
      () => [`memory-backend-file,id=mem,size=16M,mem-path=${temporaryFolder()},share=on`],
      /a file without a name/,
    ],
  ] as const)('in %s is read in QEMU, or by its descriptor', async (_name, backend, why) => {
    const guest = await start(['-object', ...backend(), '-machine', 'memory-backend=mem']);
    const own = await guest.open({});
    expect(own).toMatchObject({ kind: 'process', description: expect.stringMatching(why) });
    await expectSame(own, guest, 0, 640 * KIB);
    const [, pid] = /process (\d+)/.exec(own.description)!;
    const descriptors = readdirSync(`/proc/${pid}/fd`).map((fd) => `/proc/${pid}/fd/${fd}`);
    const ramFile = descriptors.find((path) => /memory-backend-memfd|qemu_back_mem/.test(readlinkSync(path)))!;
    const file = await guest.open({ ramFile });
    expect(file.description).toBe(`RAM file ${ramFile}, 16 MiB`);
    await expectSame(file, guest, 0, 640 * KIB);
    expect(() => file.check()).not.toThrow();
  });

  test('is seen to change while the guest runs, until QEMU ends', async () => {
    const guest = await start([...memoryFile('16M'), '-machine', 'memory-backend=mem']);
    const [file, own] = [
      await guest.open({ kind: 'file', guestRuns: true }),
      await guest.open({ kind: 'process', guestRuns: true }),
    ];
    const running = guest.gdb.continue().catch(() => {});
    const entry = new Uint32Array(2);
    for (const memory of [file, own]) {
      // The BIOS data area's count of timer ticks.
      const ticks = () => {
        memory.clear();
        expect(memory.memory.readEntry(0x46c, 4, entry)).toBe(READ_OK);
        return entry[0]!;
      };
      const before = ticks();
      await expect.poll(ticks, { timeout: 20_000, interval: 50 }).toBeGreaterThan(before + 2);
      memory.check();
    }
    await guest.qmp.execute('quit').catch(() => {});
    await running;
    const code = () => {
      try {
        return own.check();
      } catch (error) {
        return (error as { code: string }).code;
      }
    };
    await expect.poll(code).toBe('source-unavailable');
    own.clear();
    expect(() => own.memory.readEntry(0, 8, entry)).toThrow(/QEMU, has ended/);
  });
});

/** Writes 256 bytes, by way of the file that the guest has as its memory. */
async function writePhysical(guest: Guest, file: GuestMemory, pa: number, byte: number): Promise<void> {
  const region = file.regions.find((region) => pa >= region.pa && pa < region.pa + region.byteLength)!;
  const path = (await guest.qmp.execute('qom-get', { path: '/objects/mem', property: 'mem-path' })) as string;
  const handle = await openFile(path, 'r+');
  await handle.write(new Uint8Array(256).fill(byte), 0, 256, region.position + pa - region.pa);
  await handle.close();
}
