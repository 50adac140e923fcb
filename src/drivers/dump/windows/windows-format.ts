/**
 * Crash dumps of Windows: complete ones (type 1), and those with a bitmap of the pages that are in them (type 5, and of the kernel alone 6
 * and 2). Structures as Microsoft's symbols and Volatility have them (DUMP_HEADER, DUMP_HEADER64, SUMMARY_DUMP).
 *
 *                                64-bit   32-bit
 *   "PAGE"                            0        0
 *   "DU64", or "DUMP"                 4        4
 *   DirectoryTableBase             0x10     0x10
 *   MachineImageType               0x30     0x20
 *   PaeEnabled                        -     0x5c
 *   NumberOfRuns                   0x88     0x64
 *   Run: BasePage, PageCount       0x98     0x6c
 *   DumpType                      0xf98    0xf88
 *   pages, or the summary        0x2000   0x1000
 *
 * The summary: "SDMP" or "FDMP", "DUMP", at 0x20 where the pages are, at 0x30 the bits of the bitmap, at 0x38 the bitmap.
 */
import { PA_LIMIT, PAGE_BYTES } from '../../../core/address/pa.ts';
import { type LongWorkOptions, Pacer } from '../../../driver/pacer.ts';
import { corrupt, type DumpBytes, expectInside, readPart, readU64 } from '../dump-bytes.ts';
import { DumpRegions } from '../dump-regions.ts';
import type { DumpFormat, OpenedFormat } from '../format.ts';

const COMPLETE = 1;
const WITH_BITMAP = [2, 5, 6];
const MINIDUMP = 4;
const MAX_RUNS = 4096;
const SUMMARY_BITMAP = 0x38;
/** Of 64 TiB. */
const MAX_BITS = 2 ** 34;
const CHUNK_BYTES = 2 ** 16;

interface Layout {
  readonly is64: boolean;
  readonly headerBytes: number;
  readonly machine: number;
  readonly runs: number;
  readonly run: number;
  readonly dumpType: number;
}

const LAYOUT_64: Layout = { is64: true, headerBytes: 0x2000, machine: 0x30, runs: 0x88, run: 0x98, dumpType: 0xf98 };
const LAYOUT_32: Layout = { is64: false, headerBytes: 0x1000, machine: 0x20, runs: 0x64, run: 0x6c, dumpType: 0xf88 };
const PAE_ENABLED = 0x5c;
const MACHINES: ReadonlyMap<number, string> = new Map([
  [0xaa64, 'an ARM64'],
  [0x1c4, 'an ARM'],
  [0x200, 'an Itanium'],
]);

export const windowsFormat: DumpFormat = {
  name: 'windows',
  recognises: (head) => ['PAGEDU64', 'PAGEDUMP'].includes(head.toString('latin1', 0, 8)),
  open: openWindows,
};

async function openWindows(bytes: DumpBytes, options: LongWorkOptions): Promise<OpenedFormat> {
  const layout = readPart(bytes, 4, 4, 'the signature').toString('latin1') === 'DU64' ? LAYOUT_64 : LAYOUT_32;
  const header = readPart(bytes, 0, layout.headerBytes, 'the header of a crash dump');
  const machine = MACHINES.get(header.readUInt32LE(layout.machine));
  if (machine !== undefined)
    throw corrupt(bytes.name, layout.machine, `it is the dump of ${machine} machine, not of an x86 one`);
  const type = header.readUInt32LE(layout.dumpType);
  if (type === MINIDUMP) {
    throw corrupt(bytes.name, layout.dumpType, 'it is a small dump without memory: set up a complete memory dump');
  }
  const regions = new DumpRegions(bytes.name);
  if (type === COMPLETE) addRuns(bytes, header, layout, regions);
  else if (WITH_BITMAP.includes(type)) await addBitmap(bytes, layout, regions, options);
  else throw corrupt(bytes.name, layout.dumpType, `type ${type} of a crash dump is not known; 1, 2, 5 and 6 are`);
  const root = layout.is64 ? readU64(header, 0x10) : header.readUInt32LE(0x10);
  const mode = layout.is64 ? '4-level' : header[PAE_ENABLED] === 1 ? 'pae' : '32-bit';
  const list = regions.list();
  return {
    description: `crash dump of Windows, ${layout.is64 ? 64 : 32}-bit, ${type === COMPLETE ? 'complete' : 'with a bitmap of pages'}`,
    parts: [{ source: bytes, regions: list }],
    notes: { cpus: [] },
    // CR3 has PCID bits in it.
    ...(root < PA_LIMIT && {
      kernelRoot: {
        root: root - (root % (mode === 'pae' ? 32 : PAGE_BYTES)),
        mode,
        from: 'the header of the crash dump',
      },
    }),
    missing: regions.missing,
    warnings: [...regions.warnings, ...(root < PA_LIMIT ? [] : ["the kernel's root in its header is beyond 2^52"])],
  };
}

/** Of a complete dump the runs of memory, whose pages follow each other in the file. */
function addRuns(bytes: DumpBytes, header: Buffer, layout: Layout, regions: DumpRegions): void {
  const { is64, runs, run, headerBytes } = layout;
  const count = header.readUInt32LE(runs);
  const entryBytes = is64 ? 16 : 8;
  if (count > MAX_RUNS || run + count * entryBytes > header.length) {
    throw corrupt(bytes.name, runs, `${count} runs of memory are more than the header has`);
  }
  let position = headerBytes;
  for (let index = 0; index < count; index++) {
    const at = run + index * entryBytes;
    const [base, pages] = is64
      ? [readU64(header, at), readU64(header, at + 8)]
      : [header.readUInt32LE(at), header.readUInt32LE(at + 4)];
    const byteLength = pages * PAGE_BYTES;
    regions.add({ pa: base * PAGE_BYTES, byteLength, position }, at, bytes.byteLength);
    position += byteLength;
  }
}

/** Of a dump with a bitmap the pages whose bit is set, which follow each other in the file. */
async function addBitmap(
  bytes: DumpBytes,
  { headerBytes }: Layout,
  regions: DumpRegions,
  options: LongWorkOptions,
): Promise<void> {
  const summary = readPart(bytes, headerBytes, SUMMARY_BITMAP, 'the summary of a crash dump');
  if (!['SDMPDUMP', 'FDMPDUMP'].includes(summary.toString('latin1', 0, 8))) {
    throw corrupt(bytes.name, headerBytes, 'there is no summary with a bitmap of pages at this place');
  }
  const [first, bits] = [readU64(summary, 0x20), readU64(summary, 0x30)];
  if (bits > MAX_BITS) throw corrupt(bytes.name, headerBytes + 0x30, `a bitmap of ${bits} pages is of no x86 machine`);
  const bitmap = headerBytes + SUMMARY_BITMAP;
  const bitmapBytes = Math.ceil(bits / 8);
  expectInside(bytes, bitmap, bitmapBytes, 'the bitmap of pages');
  const pacer = new Pacer(options);
  let position = first;
  for (let done = 0; done < bitmapBytes; done += CHUNK_BYTES) {
    if (pacer.isDue) await pacer.turn({ what: 'counting pages', done: done * 8, total: bits, unit: 'pages' });
    const chunk = readPart(bytes, bitmap + done, Math.min(CHUNK_BYTES, bitmapBytes - done), 'the bitmap of pages');
    for (const [index, byte] of chunk.entries()) {
      const page = (done + index) * 8;
      for (let bit = 0; bit < 8 && page + bit < bits; bit++) {
        if (((byte >>> bit) & 1) === 0) continue;
        const pa = (page + bit) * PAGE_BYTES;
        regions.add({ pa, byteLength: PAGE_BYTES, position }, bitmap + done + index, bytes.byteLength);
        position += PAGE_BYTES;
      }
    }
  }
}
