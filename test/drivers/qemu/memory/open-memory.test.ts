/** The choice among the ways into a guest's memory, with a QEMU that is played by this very process. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { describe, expect, onTestFinished, test } from 'vitest';
import { READ_NO_MEMORY, READ_OK } from '../../../../src/core/memory/physical-memory.ts';
import { GdbClient } from '../../../../src/drivers/qemu/gdb/index.ts';
import { type GuestMemoryOptions, openGuestMemory } from '../../../../src/drivers/qemu/memory/index.ts';
import { Stub } from '../gdb/stub.ts';
import { temporaryFolder } from '../transport/peer.ts';
import { ownMemory } from './own-memory.ts';
import { connect } from './played-qemu.ts';

const MIB = 2 ** 20;

async function connectGdb(): Promise<GdbClient> {
  const stub = await Stub.start({ memory: (address) => (address / 4096) & 0xff });
  const gdb = await GdbClient.connect(stub.address);
  onTestFinished(() => gdb.close());
  return gdb;
}

/** RAM that differs from page to page, and the file that holds it. */
function ramFile(byte = 0): { path: string; bytes: Uint8Array } {
  const path = join(temporaryFolder(), 'ram');
  const bytes = Uint8Array.from({ length: 2 * MIB }, (_, at) => (at >> 12) + (at % 64) + byte + 1);
  writeFileSync(path, bytes);
  return { path, bytes };
}

async function open(options: GuestMemoryOptions): ReturnType<typeof openGuestMemory> {
  const opened = await openGuestMemory(options);
  onTestFinished(() => opened.close());
  return opened;
}

/** The bytes of the memory at both ends of the hole. */
async function expectBytes(opened: Awaited<ReturnType<typeof openGuestMemory>>, bytes: Uint8Array): Promise<void> {
  for (const [pa, at] of [
    [0x3008, 0x3008],
    [2 ** 32 + 0x4010, MIB + 0x4010],
  ] as const) {
    const entry = new Uint32Array(2);
    await opened.remote?.fetch([pa, MIB]);
    expect(opened.memory.readEntry(pa, 8, entry)).toBe(READ_OK);
    expect([...new Uint8Array(entry.buffer)]).toEqual([...bytes.subarray(at, at + 8)]);
    expect([...(await opened.readBytes(pa, 100))!]).toEqual([...bytes.subarray(at, at + 100)]);
  }
  expect(opened.memory.readEntry(MIB, 8, new Uint32Array(2))).toBe(READ_NO_MEMORY);
  expect(await opened.readBytes(MIB - 8, 16)).toBeUndefined();
}

const unavailable = (message: RegExp): unknown =>
  expect.objectContaining({ code: 'source-unavailable', message: expect.stringMatching(message) as string });

describe.runIf(process.platform === 'linux')('the way into the memory', () => {
  test('is the shared file where there is one', async () => {
    const { path, bytes } = ramFile();
    const opened = await open({ qmp: await connect({ bytes, path }), gdb: await connectGdb() });
    expect(opened).toMatchObject({ kind: 'file', description: `RAM file ${path}, 2 MiB` });
    expect(opened.remote).toBeUndefined();
    expect(opened.regions.map(({ pa, position }) => [pa, position])).toEqual([
      [0, 0],
      [2 ** 32, MIB],
    ]);
    await expectBytes(opened, bytes);
    opened.check();
  });

  test("is QEMU's own memory where there is no file, and says why", async () => {
    const own = ownMemory(9);
    const qmp = await connect({ bytes: own.bytes, hostAddress: own.address });
    const opened = await open({ qmp, gdb: await connectGdb() });
    expect(opened.kind).toBe('process');
    expect(opened.description).toMatch(
      new RegExp(`^QEMU's own memory, process ${process.pid}, 2 MiB; not a RAM file: QEMU keeps its RAM in no file; `),
    );
    await expectBytes(opened, own.bytes);
    own.bytes.set([0x77], 0x3008);
    const entry = new Uint32Array(2);
    opened.memory.readEntry(0x3008, 8, entry);
    expect(entry[0]! & 0xff).toBe(0);
    opened.clear();
    opened.memory.readEntry(0x3008, 8, entry);
    expect(entry[0]! & 0xff).toBe(0x77);
  });

  test('is the gdbstub where there is neither', async () => {
    const gdb = await connectGdb();
    const opened = await open({ qmp: await connect({ bytes: new Uint8Array() }), gdb });
    expect(opened.kind).toBe('gdb');
    expect(opened.description).toMatch(
      /^the gdbstub at unix:\S+, 2 MiB, the slowest way; not a RAM file: .*; not QEMU's own memory: .*gpa2hva/,
    );
    const bytes = Uint8Array.from({ length: 2 * MIB }, (_, at) => (at % MIB) >> 12);
    await expectBytes(opened, bytes);
    await opened.close();
    await expect(opened.readBytes(0, 8)).rejects.toThrow(expect.objectContaining({ code: 'closed' }));
  });

  test('can be forced', async () => {
    const own = ownMemory(3);
    const { path } = ramFile();
    writeFileSync(path, own.bytes.subarray(0, 2 * MIB));
    const qmp = await connect({ bytes: own.bytes, path, hostAddress: own.address });
    const gdb = await connectGdb();
    for (const kind of ['file', 'process', 'gdb'] as const) {
      const opened = await open({ qmp, gdb, kind });
      expect(opened.kind).toBe(kind);
      expect(opened.description).not.toMatch(/not a RAM file|;/);
    }
    const elsewhere = ramFile().path;
    writeFileSync(elsewhere, readFileSync(path));
    expect(await open({ qmp, ramFile: elsewhere })).toMatchObject({
      kind: 'file',
      description: `RAM file ${elsewhere}, 2 MiB`,
    });
  });
});

describe('no way into the memory', () => {
  test('where the forced one does not work', async () => {
    const qmp = await connect({ bytes: new Uint8Array() });
    for (const [kind, message] of [
      ['file', /^the guest's memory cannot be read; not a RAM file: QEMU keeps its RAM in no file/],
      ['process', /^the guest's memory cannot be read; not QEMU's own memory: .*gpa2hva needs QEMU 2.10/],
      ['gdb', /^the guest's memory cannot be read; not the gdbstub: there is no connection to it$/],
    ] as const) {
      await expect(openGuestMemory({ qmp, kind })).rejects.toThrow(unavailable(message));
    }
    await expect(openGuestMemory({ qmp, ramFile: ramFile().path })).rejects.toThrow(unavailable(/not a RAM file/));
  });

  test('where none works: each says why; a guest that runs cannot be read by the gdbstub', async () => {
    const { path, bytes } = ramFile();
    const qmp = await connect({ bytes, path, isShared: false });
    await expect(openGuestMemory({ qmp, gdb: await connectGdb(), guestRuns: true })).rejects.toThrow(
      unavailable(
        /a RAM file: mem is not shared.*own memory: .*gdbstub: it reads memory only while the guest is stopped/,
      ),
    );
  });

  test('in a file that holds another guest, or what the guest was', async () => {
    const { path } = ramFile(7);
    const { bytes } = ramFile();
    await expect(openGuestMemory({ qmp: await connect({ bytes, path }), kind: 'file' })).rejects.toThrow(
      unavailable(/ram differs from the guest's memory: it belongs to another guest, or was replaced/),
    );
    // A guest that runs writes some of it in between; a guest of zeros says nothing.
    const { path: moved, bytes: running } = ramFile();
    running.fill(0xee, 0, 0x8_0000);
    expect(await open({ qmp: await connect({ bytes: running, path: moved }) })).toMatchObject({ kind: 'file' });
    const empty = { path: ramFile().path, bytes: new Uint8Array(2 * MIB) };
    writeFileSync(empty.path, empty.bytes);
    expect(await open({ qmp: await connect(empty) })).toMatchObject({ kind: 'file' });
  });

  test('by options that contradict each other, or without a map', async () => {
    const qmp = await connect({ bytes: new Uint8Array(), tree: 'unknown command' });
    await expect(openGuestMemory({ qmp, ramFile: '/ram', kind: 'gdb' })).rejects.toThrow(
      expect.objectContaining({ code: 'bad-argument' }),
    );
    await expect(openGuestMemory({ qmp })).rejects.toThrow(expect.objectContaining({ code: 'corrupt-input' }));
    await qmp.close();
    await expect(openGuestMemory({ qmp })).rejects.toThrow(expect.objectContaining({ code: 'closed' }));
  });
});
