/**
 * QEMU's migration streams (migration/savevm.c, version 3): of `migrate exec:…` or `file:`, and what `virsh save` has behind its header.
 * The RAM comes first, in sections that say how long they are; devices follow.
 */
import { PAGE_BYTES } from '../../../core/address/pa.ts';
import { hex } from '../../../core/address/va.ts';
import { type LongWorkOptions, Pacer } from '../../../driver/pacer.ts';
import { PtmonError } from '../../../core/error.ts';
import type { MemoryRegion } from '../../../driver/snapshot.ts';
import type { MemoryPart, RamRegion } from '../../ramfile/index.ts';
import { corrupt, type DumpBytes, readPart } from '../dump-bytes.ts';
import { DumpRegions } from '../dump-regions.ts';
import type { DumpFormat, OpenedFormat } from '../format.ts';
import { cpusIn, MAX_DEVICE_BYTES } from './cpu-section.ts';
import { libvirtHeaderOf } from './libvirt-header.ts';
import { placeBlocks } from './main-ram.ts';
import { type RamBlock, RamStream } from './ram-stream.ts';
import { StreamReader } from './stream-reader.ts';

const MAGIC = 'QEVM';
const VERSION = 3;
const RAM_VERSION = 4;
const MAX_NAME_BYTES = 256;
const MAX_MISSING = 2 ** 16;

const SECTION_START = 1;
const SECTION_END = 3;
const SECTION_FULL = 4;
const SUBSECTION = 5;
const CONFIGURATION = 7;
const FOOTER = 0x7e;

export const migrationFormat: DumpFormat = {
  name: 'migration',
  recognises: (head) => head.toString('latin1', 0, 4) === MAGIC || libvirtHeaderOf(head) !== undefined,
  open: openMigration,
};

async function openMigration(bytes: DumpBytes, options: LongWorkOptions): Promise<OpenedFormat> {
  const wrapper = libvirtHeaderOf(readPart(bytes, 0, Math.min(92, bytes.byteLength), 'the header of virsh save'));
  if (wrapper?.why !== undefined) throw new PtmonError('corrupt-input', `${bytes.name}: ${wrapper.why}`, { offset: 0 });
  const start = wrapper?.streamAt ?? 0;
  const head = readPart(bytes, start, 8, 'the header of a migration stream');
  if (head.toString('latin1', 0, 4) !== MAGIC) throw corrupt(bytes.name, start, 'no migration stream is there');
  if (head.readUInt32BE(4) !== VERSION) {
    throw corrupt(bytes.name, start + 4, `version ${head.readUInt32BE(4)} of a migration stream is not known, 3 is`);
  }
  const { ram, machine, endOfRam, warnings } = await readStream(bytes, start + 8, options);
  const cpus = endOfRam === undefined ? [] : cpusIn(devicesOf(bytes, endOfRam));
  const placed = placeBlocks(ram.blocks, machine);
  if (placed.length === 0) {
    throw corrupt(
      bytes.name,
      start,
      'no page of RAM is in it (multifd and mapped-ram have them elsewhere: migrate without)',
    );
  }
  const parts = placed.flatMap(({ block, pieces }): MemoryPart[] => {
    const regions = regionsOf(bytes, block, pieces);
    return regions.length === 0 ? [] : [{ source: block, regions }];
  });
  const how = wrapper === undefined ? 'migration stream of QEMU' : 'virsh save, a migration stream of QEMU';
  const undescribed =
    'its devices have no description (it is truncated, or was written with suppress-vmdesc=on): registers are not read';
  return {
    description: `${how}, machine ${machine === '' ? 'unknown' : machine}`,
    parts,
    notes: { cpus },
    ...(endOfRam === undefined && { missing: placed.flatMap(({ block, pieces }) => missingOf(block, pieces)) }),
    warnings: endOfRam !== undefined && cpus.length === 0 ? [...warnings, undescribed] : warnings,
  };
}

/** Of a stream that ends early, the pages that did not come, in the first runs of them. */
function missingOf(block: RamBlock, pieces: readonly RamRegion[]): MemoryRegion[] {
  const missing: { pa: number; byteLength: number }[] = [];
  for (const { pa, byteLength, position } of pieces) {
    for (let offset = 0; offset < byteLength; offset += PAGE_BYTES) {
      if (block.has((position + offset) / PAGE_BYTES)) continue;
      const last = missing.at(-1);
      if (last !== undefined && last.pa + last.byteLength === pa + offset) last.byteLength += PAGE_BYTES;
      else if (missing.length < MAX_MISSING) missing.push({ pa: pa + offset, byteLength: PAGE_BYTES });
    }
  }
  return missing;
}

/** The pages that are in the stream. */
function regionsOf(bytes: DumpBytes, block: RamBlock, pieces: readonly RamRegion[]): readonly RamRegion[] {
  const regions = new DumpRegions(bytes.name);
  for (const { pa, byteLength, position } of pieces) {
    for (let offset = 0; offset < byteLength; offset += PAGE_BYTES) {
      if (!block.has((position + offset) / PAGE_BYTES)) continue;
      regions.add({ pa: pa + offset, byteLength: PAGE_BYTES, position: position + offset }, 0);
    }
  }
  return regions.listWithout([]);
}

interface ReadStream {
  readonly ram: RamStream;
  readonly machine: string;
  /** Where the RAM is complete; undefined where the stream ends before. */
  readonly endOfRam: number | undefined;
  readonly warnings: readonly string[];
}

/** Reads sections until RAM is complete. */
async function readStream(bytes: DumpBytes, start: number, options: LongWorkOptions): Promise<ReadStream> {
  const stream = new StreamReader(bytes, start);
  const ram = new RamStream(bytes);
  const pacer = new Pacer(options);
  const turn = async () => {
    const progress = {
      what: 'reading the stream',
      done: stream.position,
      total: bytes.byteLength,
      unit: 'bytes',
    } as const;
    if (pacer.isDue) await pacer.turn(progress);
  };
  const names = new Map<number, string>();
  let machine = '';
  try {
    for (;;) {
      const at = stream.position;
      const type = stream.u8();
      if (type === CONFIGURATION) machine = readConfiguration(stream, bytes, at);
      else if (type === FOOTER) stream.skip(4);
      else if (type === SUBSECTION) throw corrupt(bytes.name, at, 'its configuration has parts that are not known');
      else if (type >= SECTION_START && type <= SECTION_FULL) {
        const id = stream.u32();
        const isFirst = type === SECTION_START || type === SECTION_FULL;
        if (isFirst) names.set(id, stream.text());
        const version = isFirst ? (stream.skip(4), stream.u32()) : RAM_VERSION;
        if (names.get(id) !== 'ram') {
          const why = `section ${JSON.stringify(names.get(id) ?? id)} comes before the end of RAM, and its length is not known`;
          if (type === SECTION_FULL) return { ram, machine, endOfRam: at, warnings: [] };
          return {
            ram,
            machine,
            endOfRam: undefined,
            warnings: [`at offset ${hex(at)}: ${why}: what follows is not read`],
          };
        }
        if (version !== RAM_VERSION) throw corrupt(bytes.name, at, `version ${version} of RAM is not known, 4 is`);
        await ram.readSection(stream, turn);
        if (type === SECTION_END) return { ram, machine, endOfRam: stream.position, warnings: [] };
      } else {
        throw corrupt(bytes.name, at, `0x${type.toString(16)} is not a section of a migration stream`);
      }
    }
  } catch (error) {
    if (
      !(error instanceof PtmonError) ||
      error.code !== 'corrupt-input' ||
      !ram.blocks.some(({ isPresent }) => isPresent)
    )
      throw error;
    const why = error.message.replace(`${bytes.name}: `, '');
    return { ram, machine, endOfRam: undefined, warnings: [`${why}; pages behind that are missing`] };
  }
}

function readConfiguration(stream: StreamReader, bytes: DumpBytes, at: number): string {
  const byteLength = stream.u32();
  if (byteLength > MAX_NAME_BYTES)
    throw corrupt(bytes.name, at, `a machine's name of ${byteLength} bytes makes no sense`);
  const start = stream.position;
  stream.skip(byteLength);
  return readPart(bytes, start, byteLength, "a machine's name").toString('latin1');
}

function devicesOf(bytes: DumpBytes, from: number): Buffer {
  const byteLength = Math.min(MAX_DEVICE_BYTES, bytes.byteLength - from);
  return readPart(bytes, from, byteLength, 'the devices of a migration stream');
}
