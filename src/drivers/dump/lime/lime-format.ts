/**
 * LiME's dumps (LiME, src/lime.h and doc/README.md, format "lime"): for each range of RAM a header of 32 bytes, then its bytes.
 *
 *      0  0x4C694D45, "EMiL" in the file     32 bits
 *      4  version, 1                         32 bits
 *      8  first physical address             64 bits
 *     16  last physical address, inclusive   64 bits
 *     24  reserved
 */
import { hex } from '../../../core/address/va.ts';
import { corrupt, type DumpBytes, hasBytes, readPart, readU64 } from '../dump-bytes.ts';
import { DumpRegions } from '../dump-regions.ts';
import type { DumpFormat, OpenedFormat } from '../format.ts';

const MAGIC = 0x4c694d45;
const HEADER_BYTES = 32;
/** Linux lists RAM in some dozens. */
const MAX_RANGES = 2 ** 16;

export const limeFormat: DumpFormat = {
  name: 'lime',
  recognises: (head) => head.length >= 4 && head.readUInt32LE(0) === MAGIC,
  open: openLime,
};

async function openLime(bytes: DumpBytes): Promise<OpenedFormat> {
  const regions = new DumpRegions(bytes.name);
  const warnings: string[] = [];
  let count = 0;
  for (let at = 0; at < bytes.byteLength; count++) {
    if (count === MAX_RANGES) throw corrupt(bytes.name, at, `no machine's memory has more than ${MAX_RANGES} ranges`);
    const range = readRange(bytes, at);
    if ('why' in range) {
      if (count === 0) throw corrupt(bytes.name, range.offset, range.why);
      warnings.push(`at offset ${hex(range.offset)}: ${range.why}; what follows is not read`);
      break;
    }
    regions.add({ ...range, position: at + HEADER_BYTES }, at, bytes.byteLength);
    at += HEADER_BYTES + range.byteLength;
  }
  return {
    description: `LiME, ${count} ranges`,
    parts: [{ source: bytes, regions: regions.list() }],
    notes: { cpus: [] },
    missing: regions.missing,
    warnings: [...regions.warnings, ...warnings],
  };
}

/** The range whose header is at `at`, or what is wrong with it. */
function readRange(
  bytes: DumpBytes,
  at: number,
): { readonly pa: number; readonly byteLength: number } | { readonly offset: number; readonly why: string } {
  if (!hasBytes(bytes, at, HEADER_BYTES)) return { offset: at, why: 'the header of a range is cut off' };
  const header = readPart(bytes, at, HEADER_BYTES, 'the header of a range');
  if (header.readUInt32LE(0) !== MAGIC) return { offset: at, why: 'there is no range header at this place' };
  const version = header.readUInt32LE(4);
  if (version !== 1) return { offset: at + 4, why: `version ${version} of LiME's format is not known, 1 is` };
  const [first, last] = [readU64(header, 8), readU64(header, 16)];
  if (last < first) return { offset: at + 8, why: 'a range ends before it begins' };
  return { pa: first, byteLength: last - first + 1 };
}
