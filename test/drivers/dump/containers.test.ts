/** Files of virtual machines and of other tools hold the memory that was put into them, with its registers. */
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { deflateSync } from 'node:zlib';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type Dump, openDump } from '../../../src/drivers/dump/index.ts';
import { maskedCrc } from '../../../src/drivers/dump/lime/snappy-frames.ts';
import { temporaryFolder } from '../qemu/launch/temporary-folder.ts';
import {
  avmlDump,
  libvirtSave,
  migrationStream,
  virtualBoxCore,
  vmwareCheckpoint,
  windowsDump,
  xenCore,
} from './write-containers.ts';
import { qcow2Image } from './write-qcow2.ts';
import { CPU, dumpFile, framesOf, PAGE, runsOf } from './write-dump.ts';

const FRAMES = framesOf([0, 1, 2, 3, 0x100, 0x101, 0x102, 0x103, 0x9000]);
const MORE = { ...CPU, cr3: 0x1_2345_6000n };

function snapshotOf(state: Buffer): Buffer {
  return qcow2Image([
    { name: 'disk alone', state: Buffer.alloc(0) },
    { name: 'running', state },
  ]);
}

async function open(bytes: Uint8Array): Promise<Dump> {
  const dump = await openDump(dumpFile(bytes));
  onTestFinished(() => dump.close());
  return dump;
}

function expectFrames(dump: Dump, frames = FRAMES): void {
  for (const [gfn, page] of frames) {
    const found = dump.readBytes(gfn * PAGE, PAGE);
    expect(found !== undefined && Buffer.from(found).equals(page), `frame ${gfn}`).toBe(true);
  }
  for (const gfn of [4, 0xff, 0x104, 0x9001, 2 ** 30]) {
    expect(dump.readBytes(gfn * PAGE, PAGE), `frame ${gfn}`).toBeUndefined();
  }
  expect(dump.readBytes(PAGE - 3, 7)).toEqual(
    new Uint8Array(Buffer.concat([frames.get(0)!.subarray(-3), frames.get(1)!.subarray(0, 4)])),
  );
}

const expectRegisters = (dump: Dump, efer: bigint) => {
  expect(dump.registers?.vcpuCount).toBe(2);
  expect(dump.registers?.readRegisters(0)).toEqual({ ...CPU, efer });
  expect(dump.registers?.readRegisters(1)).toEqual({ ...MORE, efer });
};

describe('files with registers', () => {
  const cpus = [CPU, MORE];
  test.each<[what: string, format: string, bytes: Buffer, efer: bigint]>([
    ['a migration stream of QEMU', 'migration', migrationStream(FRAMES, { cpus }), 0xd01n],
    ['the same in virsh save', 'migration', libvirtSave(migrationStream(FRAMES, { cpus })), 0xd01n],
    ['the same in a snapshot of a qcow2 image', 'migration', snapshotOf(migrationStream(FRAMES, { cpus })), 0xd01n],
    ['a core of VirtualBox', 'elf', virtualBoxCore(FRAMES, cpus), 0xd01n],
    ['a core of Xen, HVM', 'elf', xenCore(FRAMES, 'hvm', cpus), 0xd00n],
    ['a core of Xen, PV, by its machine frames', 'elf', xenCore(FRAMES, 'pv', cpus), 0xd00n],
    ['a checkpoint of VMware with its memory', 'vmware', vmwareCheckpoint(FRAMES, { cpus, inside: true }).vmss, 0xd00n],
  ])('%s', async (_what, format, bytes, efer) => {
    const dump = await open(bytes);
    expect(dump.format).toBe(format);
    expect(dump.warnings).toBeUndefined();
    expectFrames(dump);
    expectRegisters(dump, efer);
    expect(dump.regions).toEqual(runsOf(FRAMES).map(({ pa, bytes: run }) => ({ pa, byteLength: run.length })));
  });
});

describe('a qcow2 image', () => {
  const state = migrationStream(FRAMES);

  test('of several snapshots with memory, the newest is read, and the others are named', async () => {
    const older = migrationStream(framesOf([0, 1]));
    const dump = await open(
      qcow2Image([
        { name: 'new', state, date: 1_700_000_002 },
        { name: 'old', state: older, date: 1_700_000_001 },
      ]),
    );
    expectFrames(dump);
    expect(dump.description).toMatch(/snapshot "new" of a qcow2 image, migration stream/);
    expect(dump.warnings?.join()).toMatch(/the newest is read, "new"; for the others \("old"\).*-loadvm NAME -S/);
  });

  test.each([
    ['version 2', qcow2Image([{ name: 'a', state, hasExtra: false }], { version: 2 })],
    ['clusters of 64 KiB', qcow2Image([{ name: 'a', state }], { clusterBits: 16, diskBytes: 2 ** 30 + 512 })],
    ['clusters of 512 bytes', qcow2Image([{ name: 'a', state }], { clusterBits: 9 })],
  ])('%s', async (_what, bytes) => {
    expectFrames(await open(bytes));
  });

  test('what has no memory, or none that can be read, is refused with what to do', async () => {
    const patched = (at: number, value: number) => {
      const bytes = qcow2Image([{ name: 'a', state }]);
      bytes.writeUInt32BE(value, at);
      return open(bytes);
    };
    await expect(open(qcow2Image([]))).rejects.toThrow(
      /is a disk image of QEMU \(qcow2\) with no snapshot: save.*savevm/,
    );
    const disk = qcow2Image([{ name: 'a', state: Buffer.alloc(0) }]);
    await expect(open(disk)).rejects.toThrow(/with 1 snapshots, none with memory/);
    await expect(patched(32, 2)).rejects.toThrow(/encrypted.*qemu-img convert/);
    await expect(patched(76, 4)).rejects.toThrow(/external data file, which ptmon does not read/);
    await expect(patched(76, 16)).rejects.toThrow(/extended L2 entries/);
    await expect(patched(4, 7)).rejects.toThrow(/version 7 of qcow2/);
    await expect(patched(20, 40)).rejects.toThrow(/clusters of 2\^40 bytes/);
  });

  test('with a cluster beyond its end is refused with the offset', async () => {
    const whole = qcow2Image([{ name: 'a', state }]);
    // The tables come behind the data.
    const l2At = whole.length - 3 * 4096;
    const entry = whole.readBigUInt64BE(l2At + 4 * 8);
    expect(entry >> 63n).toBe(1n);
    whole.writeBigUInt64BE((1n << 63n) | 0x4000_0000n, l2At + 4 * 8);
    await expect(open(whole)).rejects.toThrow(/at offset 0x40000000: the file ends before/);
  });
});

describe('a migration stream', () => {
  test('has of a page the last that was sent, whether it is of one byte or not', async () => {
    const frames = new Map([...FRAMES, [2, new Uint8Array(PAGE).fill(7)]]);
    const earlier = new Map([
      [0, new Uint8Array(PAGE).fill(9)],
      [2, FRAMES.get(2)!],
    ]);
    expectFrames(await open(migrationStream(frames, { earlier })), frames);
  });

  test.each([
    ['pc-i440fx-7.2', 4 * 2 ** 30, 3 * 2 ** 30],
    ['pc-q35-8.0', 3 * 2 ** 30, 2 * 2 ** 30],
    ['pc-i440fx-7.2', 3 * 2 ** 30, Infinity],
    ['microvm', 3.25 * 2 ** 30, 3 * 2 ** 30],
  ])('of %s with %i bytes of RAM goes on at 4 GiB behind %i', async (machine, ramBytes, low) => {
    const top = ramBytes / PAGE - 1;
    const dump = await open(migrationStream(new Map([...framesOf([0, top])]), { machine, ramBytes }));
    const pa = low === Infinity ? top * PAGE : top * PAGE - low + 2 ** 32;
    expect(Buffer.from(dump.readBytes(pa, PAGE)!).equals(framesOf([top]).get(top)!)).toBe(true);
  });

  test('that is cut has what was sent before, and says so', async () => {
    const whole = migrationStream(FRAMES);
    const at = whole.indexOf(FRAMES.get(0x102)!.subarray(0, 100));
    const dump = await open(whole.subarray(0, at + 10));
    expect(dump.warnings?.join()).toMatch(/the stream ends early: it is truncated; pages behind that are missing/);
    expect(dump.readBytes(0x101 * PAGE, PAGE)).toBeDefined();
    expect(dump.readBytes(0x102 * PAGE, PAGE)).toBeUndefined();
    expect(dump.registers).toBeUndefined();
    expect(dump.missing?.at(-1)).toEqual({ pa: 0x102 * PAGE, byteLength: (0x9001 - 0x102) * PAGE });
  });

  test('whose devices are cut off has no registers, and says so', async () => {
    const whole = migrationStream(FRAMES);
    const dump = await open(whole.subarray(0, whole.length - 20));
    expectFrames(dump, FRAMES);
    expect(dump.warnings?.join()).toMatch(
      /its devices have no description \(it is truncated, .*registers are not read/,
    );
    expect(dump.missing).toBeUndefined();
    expect((await open(whole)).warnings).toBeUndefined();
  });

  test.each([
    [1, /is compressed: unpack it with tail -c \+147 FILE \| gzip -d >STREAM/],
    [5, /zstd -d/],
    [6, /in format 6, which ptmon does not read/],
  ])('of virsh save in compression %i is refused, with how to unpack it', async (compression, why) => {
    await expect(openDump(dumpFile(libvirtSave(deflateSync('x'), compression)))).rejects.toThrow(why);
  });
});

describe('AVML', () => {
  test.each([2 ** 16, 10_000])('has its memory, in blocks of %i bytes', async (blockBytes) => {
    const dump = await open(avmlDump(FRAMES, blockBytes));
    expect(dump.format).toBe('avml');
    expectFrames(dump);
  });

  test('has the checksums of snappy', () => {
    // CRC-32C of "123456789" is 0xe3069283 (RFC 3720, B.4 and others), masked as framing_format.txt says.
    const crc = 0xe3069283;
    expect(maskedCrc(Buffer.from('123456789'))).toBe((((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0);
  });

  test('that is cut has what is before, and a spoiled frame is an error of its pages alone', async () => {
    const whole = avmlDump(FRAMES);
    const cut = await open(whole.subarray(0, -20));
    expect(cut.warnings?.join()).toMatch(/is cut off/);
    expect(cut.missing).toEqual([{ pa: 0x9000 * PAGE, byteLength: PAGE }]);
    expect(cut.readBytes(0, PAGE)).toBeDefined();
    const spoiled = Buffer.from(whole);
    spoiled[46]! ^= 1;
    const dump = await open(spoiled);
    expect(() => dump.readBytes(0, PAGE)).toThrow(/the checksum of a frame is wrong|cannot be decompressed/);
    expect(dump.readBytes(0x9000 * PAGE, PAGE)).toBeDefined();
  });
});

describe('VMware', () => {
  test.each(['vmss', 'vmsn'])('a .vmem and the .%s beside it, whichever is given', async (end) => {
    const { vmss, vmem } = vmwareCheckpoint(FRAMES, { cpus: [CPU, MORE] });
    const folder = temporaryFolder();
    writeFileSync(join(folder, `vm.${end}`), vmss);
    writeFileSync(join(folder, 'vm.vmem'), vmem);
    for (const name of [`vm.${end}`, 'vm.vmem']) {
      const dump = await openDump(join(folder, name));
      onTestFinished(() => dump.close());
      expect(dump.format).toBe('vmware');
      expectFrames(dump);
      expectRegisters(dump, 0xd00n);
    }
    renameSync(join(folder, 'vm.vmem'), join(folder, 'other.vmem'));
    await expect(openDump(join(folder, `vm.${end}`))).rejects.toThrow(/put the \.vmem of the same name .* beside it/);
    expect((await openDump(join(folder, 'other.vmem'))).format).toBe('raw');
  });

  test('compressed memory is refused', async () => {
    const { vmss } = vmwareCheckpoint(FRAMES, { inside: true, compressed: true });
    await expect(openDump(dumpFile(vmss))).rejects.toThrow(/its memory is compressed: suspend it with/);
  });
});

describe('a crash dump of Windows', () => {
  test.each<[is64: boolean, type: number, mode: string]>([
    [true, 1, '4-level'],
    [true, 5, '4-level'],
    [true, 6, '4-level'],
    [false, 1, 'pae'],
    [false, 5, 'pae'],
  ])('64-bit %s, type %i', async (is64, type, mode) => {
    const dump = await open(windowsDump(FRAMES, { is64, type, root: 0x1a_b002n }));
    expect(dump.format).toBe('windows');
    expectFrames(dump);
    expect(dump.kernelRoot).toEqual({ root: 0x1a_b000, mode, from: 'the header of the crash dump' });
  });

  test('without PAE, truncated, small or of another machine', async () => {
    expect((await open(windowsDump(FRAMES, { is64: false, pae: false }))).kernelRoot?.mode).toBe('32-bit');
    for (const root of [2n ** 52n, 2n ** 63n, 2n ** 64n - 1n]) {
      const strange = await open(windowsDump(FRAMES, { root }));
      expect(strange.kernelRoot).toBeUndefined();
      expect(strange.warnings).toEqual(["the kernel's root in its header is beyond 2^52"]);
    }
    expect((await open(windowsDump(FRAMES, { root: 2n ** 52n - 4096n }))).kernelRoot?.root).toBe(2 ** 52 - 4096);
    const cut = await open(windowsDump(FRAMES).subarray(0, -PAGE));
    expect(cut.warnings?.join()).toMatch(/truncated: 4K of memory/);
    await expect(openDump(dumpFile(windowsDump(FRAMES, { type: 4 })))).rejects.toThrow(/small dump without memory/);
    await expect(openDump(dumpFile(windowsDump(FRAMES, { type: 9 })))).rejects.toThrow(/type 9 of a crash dump/);
    const arm = windowsDump(FRAMES);
    arm.writeUInt32LE(0xaa64, 0x30);
    await expect(openDump(dumpFile(arm))).rejects.toThrow(/the dump of an ARM64 machine/);
  });
});
