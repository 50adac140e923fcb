/** Writes dumps of known memory from the definitions of their formats, so that each can be read and spoiled. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '../qemu/launch/temporary-folder.ts';

export const PAGE = 4096;

/** Frames that are RAM, with what they hold. */
export type Frames = ReadonlyMap<number, Uint8Array>;

export interface Cpu {
  readonly cr0: bigint;
  readonly cr3: bigint;
  readonly cr4: bigint;
}

/** CR0.PG and CR4.PAE. */
export const CPU: Cpu = { cr0: 0x8000_0001n, cr3: 0x5000n, cr4: 0x20n };

/** A file of these bytes, until the test ends. */
export function dumpFile(bytes: Uint8Array, name = 'dump'): string {
  const path = join(temporaryFolder(), name);
  writeFileSync(path, bytes);
  return path;
}

/** Each frame holds its own number and other bytes that are not all alike. */
export function framesOf(gfns: readonly number[]): Map<number, Uint8Array> {
  return new Map(gfns.map((gfn) => [gfn, pageOf(gfn)]));
}

export function pageOf(gfn: number): Uint8Array {
  const page = Buffer.alloc(PAGE, `page ${gfn} `);
  page.writeUInt32LE(gfn, 0);
  page.writeUInt32LE((gfn * 2654435761) % 2 ** 32, PAGE - 4);
  return page;
}

/** Frames that follow each other, with their bytes. */
export function runsOf(frames: Frames): { readonly pa: number; readonly bytes: Buffer }[] {
  const runs: { pa: number; pages: Uint8Array[] }[] = [];
  for (const gfn of [...frames.keys()].sort((a, b) => a - b)) {
    const last = runs.at(-1);
    if (last !== undefined && last.pa + last.pages.length * PAGE === gfn * PAGE) last.pages.push(frames.get(gfn)!);
    else runs.push({ pa: gfn * PAGE, pages: [frames.get(gfn)!] });
  }
  return runs.map(({ pa, pages }) => ({ pa, bytes: Buffer.concat(pages) }));
}

function note(owner: string, type: number, rest: Uint8Array): Buffer {
  const padded = (bytes: Uint8Array) => Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
  const name = Buffer.from(`${owner}\0`);
  return Buffer.concat([u32(name.length, rest.length, type), padded(name), padded(rest)]);
}

/** As QEMU writes them: a NT_PRSTATUS for each vCPU, and QEMU's own. */
export function notesOf(
  cpus: readonly Cpu[],
  options: { readonly is64?: boolean; readonly text?: string } = {},
): Buffer {
  const { is64 = true, text } = options;
  return Buffer.concat([
    ...cpus.map(() => note('CORE', 1, Buffer.alloc(is64 ? 336 : 144))),
    ...(text === undefined ? [] : [note('VMCOREINFO', 0, Buffer.from(text))]),
    ...cpus.map(({ cr0, cr3, cr4 }) => {
      const state = Buffer.alloc(440);
      state.writeUInt32LE(1, 0);
      state.writeUInt32LE(440, 4);
      for (const [index, value] of [cr0, 0n, 0n, cr3, cr4].entries()) state.writeBigUInt64LE(value, 392 + index * 8);
      return note('QEMU', 0, state);
    }),
  ]);
}

export interface ElfOptions {
  readonly is64?: boolean;
  readonly notes?: Uint8Array;
  /** Names the number of headers in the first section, as with 65535 and more. */
  readonly extended?: boolean;
  /** More pieces that name bytes which are there already, and as many that have none. */
  readonly aliases?: number;
}

interface ProgramHeader {
  /** Defaults to PT_LOAD. */
  readonly type?: number;
  readonly position: number;
  readonly va?: bigint;
  readonly pa?: number;
  readonly byteLength: number;
}

/** An ELF core. */
export function elfDump(frames: Frames, options: ElfOptions = {}): Buffer {
  const { is64 = true, notes = notesOf([CPU], { is64 }), extended = false, aliases = 0 } = options;
  const runs = runsOf(frames);
  const [headerBytes, entryBytes, sectionBytes] = is64 ? [64, 56, 64] : [52, 32, 40];
  const count = 1 + runs.length + aliases * 2;
  const start = headerBytes + sectionBytes;
  const notesAt = start + entryBytes * count;
  const header = Buffer.alloc(headerBytes);
  header.set([0x7f, 0x45, 0x4c, 0x46, is64 ? 2 : 1, 1, 1]);
  header.writeUInt16LE(4, 16);
  header.writeUInt16LE(is64 ? 62 : 3, 18);
  header.writeUInt32LE(start, is64 ? 32 : 28);
  header.writeUInt32LE(headerBytes, is64 ? 40 : 32);
  header.writeUInt16LE(entryBytes, is64 ? 54 : 42);
  header.writeUInt16LE(extended ? 0xffff : count, is64 ? 56 : 44);
  const section = Buffer.alloc(sectionBytes);
  if (extended) section.writeUInt32LE(count, is64 ? 44 : 28);
  const program = ({ type = 1, position, va = 0n, pa = 0, byteLength }: ProgramHeader) => {
    const entry = Buffer.alloc(entryBytes);
    entry.writeUInt32LE(type, 0);
    if (is64) {
      for (const [at, value] of [
        [8, position],
        [24, pa],
        [32, byteLength],
        [40, byteLength],
      ] as const) {
        entry.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)), at);
      }
      entry.writeBigUInt64LE(va, 16);
    } else {
      for (const [at, value] of [
        [4, position >>> 0],
        [12, pa],
        [16, byteLength],
      ] as const)
        entry.writeUInt32LE(value, at);
    }
    return entry;
  };
  const first = notesAt + notes.length;
  let position = first;
  const loads = runs.map(({ pa, bytes }) => {
    const entry = program({ position, pa, byteLength: bytes.length });
    position += bytes.length;
    return entry;
  });
  const more = Array.from({ length: aliases }, (_, index) => [
    program({ position: first, va: 0xffff_8000_0000_0000n + BigInt(index * PAGE), pa: runs[0]!.pa, byteLength: PAGE }),
    // QEMU writes -1 for what is mapped and is no RAM.
    program({ position: -1, pa: 0xfee0_0000, byteLength: 0 }),
  ]).flat();
  const table = [program({ type: 4, position: notesAt, byteLength: notes.length }), ...loads, ...more];
  return Buffer.concat([header, section, ...table, notes, ...runs.map(({ bytes }) => bytes)]);
}

/** What LiME's header of a range is made of. */
export function limeDump(frames: Frames): Buffer {
  return Buffer.concat(
    runsOf(frames).flatMap(({ pa, bytes }) => [u32(0x4c694d45, 1), u64(pa, pa + bytes.length - 1, 0), bytes]),
  );
}

export interface KdumpOptions {
  readonly is64?: boolean;
  readonly version?: number;
  readonly notes?: Uint8Array;
  /** Flags and stored bytes of a page; stored as it is unless told. */
  readonly store?: (page: Uint8Array, gfn: number) => { readonly flags: number; readonly bytes: Uint8Array };
  /** RAM that is not in the file. */
  readonly leftOut?: readonly number[];
  readonly dumpLevel?: number;
  readonly status?: number;
  readonly split?: number;
  /** VMCOREINFO, where kdumps have it. */
  readonly text?: string;
}

/** A kdump. */
export function kdumpDump(frames: Frames, options: KdumpOptions = {}): Buffer {
  const {
    is64 = true,
    version = 6,
    notes = notesOf([CPU], { is64 }),
    leftOut = [],
    dumpLevel = 1,
    text = '',
  } = options;
  const store = options.store ?? ((page: Uint8Array) => ({ flags: 0, bytes: page }));
  const gfns = [...frames.keys()].sort((a, b) => a - b);
  const frameCount = Math.max(...gfns, ...leftOut) + 1;
  const bitmapBytes = Math.ceil(frameCount / 8 / PAGE) * PAGE;
  const subBytes = Math.ceil((104 + notes.length + text.length) / PAGE) * PAGE;
  const header = Buffer.alloc(PAGE);
  header.write('KDUMP   ', 'latin1');
  header.writeUInt32LE(version, 8);
  const at = is64 ? 424 : 412;
  const fields = [options.status ?? 1, PAGE, subBytes / PAGE, (bitmapBytes * 2) / PAGE, version >= 6 ? 0 : frameCount];
  for (const [index, value] of fields.entries()) header.writeUInt32LE(value, at + index * 4);
  const sub = Buffer.alloc(subBytes);
  sub.writeUInt32LE(dumpLevel, is64 ? 8 : 4);
  sub.writeUInt32LE(options.split ?? 0, is64 ? 12 : 8);
  if (version >= 4) {
    sub.writeBigUInt64LE(BigInt(PAGE + 104), is64 ? 48 : 32);
    sub.writeUInt32LE(notes.length, is64 ? 56 : 40);
  }
  if (version >= 6) sub.writeBigUInt64LE(BigInt(frameCount), is64 ? 96 : 72);
  sub.set(notes, 104);
  if (text !== '') {
    sub.writeBigUInt64LE(BigInt(PAGE + 104 + notes.length), is64 ? 32 : 20);
    sub.writeUInt32LE(text.length, is64 ? 40 : 28);
    sub.write(text, 104 + notes.length, 'latin1');
  }
  const bitmaps = Buffer.alloc(bitmapBytes * 2);
  const mark = (gfn: number, base: number) => {
    bitmaps[base + (gfn >>> 3)]! |= 1 << (gfn & 7);
  };
  for (const gfn of [...gfns, ...leftOut]) mark(gfn, 0);
  for (const gfn of gfns) mark(gfn, bitmapBytes);

  let position = PAGE + subBytes + bitmapBytes * 2 + gfns.length * 24;
  const stored = gfns.map((gfn) => store(frames.get(gfn)!, gfn));
  const descriptors = stored.map(({ flags, bytes }) => {
    const descriptor = Buffer.concat([u64(position), u32(bytes.length, flags), u64(0)]);
    position += bytes.length;
    return descriptor;
  });
  return Buffer.concat([header, sub, bitmaps, ...descriptors, ...stored.map(({ bytes }) => bytes)]);
}

/** A stretch of a dump, at its place. */
export interface FlatRecord {
  readonly target: number;
  readonly bytes: Uint8Array;
}

/** These records in the flattened format. */
export function flattenedOf(records: readonly FlatRecord[]): Buffer {
  const header = Buffer.alloc(PAGE);
  header.write('makedumpfile', 'latin1');
  header.writeBigInt64BE(1n, 16);
  header.writeBigInt64BE(1n, 24);
  const be = (...values: readonly number[]) => Buffer.concat(values.map((value) => u64be(value)));
  return Buffer.concat([
    header,
    ...records.flatMap(({ target, bytes }) => [be(target, bytes.length), bytes]),
    be(-1, -1),
  ]);
}

/** A dump in records of a few lengths, the last ones first. */
export function flattened(dump: Uint8Array): Buffer {
  const records: FlatRecord[] = [];
  for (let target = 0, step = 100; target < dump.length; target += step, step = (step * 7) % 20_011) {
    records.unshift({ target, bytes: dump.subarray(target, target + step) });
  }
  return flattenedOf(records);
}

function u32(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [index, value] of values.entries()) bytes.writeUInt32LE(value, index * 4);
  return bytes;
}

function u64(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 8);
  for (const [index, value] of values.entries()) bytes.writeBigUInt64LE(BigInt(value), index * 8);
  return bytes;
}

function u64be(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(BigInt(value));
  return bytes;
}
