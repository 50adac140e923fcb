/**
 * LiME's dumps (LiME, src/lime.h and doc/README.md, format "lime"): for each range of RAM a header of 32 bytes, then its bytes.
 *
 *      0  0x4C694D45, "EMiL" in the file     32 bits
 *      4  version, 1                         32 bits
 *      8  first physical address             64 bits
 *     16  last physical address, inclusive   64 bits
 *     24  reserved
 */
import { corrupt, type DumpBytes, readPart, readU64 } from './dump-bytes.ts';
import { DumpRegions } from './dump-regions.ts';
import type { DumpFormat, OpenedFormat } from './format.ts';

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
  let count = 0;
  for (let at = 0; at < bytes.byteLength; count++) {
    if (count === MAX_RANGES) throw corrupt(bytes.name, at, `more than ${MAX_RANGES} ranges are no machine's memory`);
    const header = readPart(bytes, at, HEADER_BYTES, 'the header of a range');
    if (header.readUInt32LE(0) !== MAGIC) throw corrupt(bytes.name, at, 'no header of a range is where one should be');
    const version = header.readUInt32LE(4);
    if (version !== 1) throw corrupt(bytes.name, at + 4, `version ${version} of LiME's format is not known, 1 is`);
    const [first, last] = [readU64(header, 8), readU64(header, 16)];
    if (last < first) throw corrupt(bytes.name, at + 8, 'a range ends before it begins');
    const [position, byteLength] = [at + HEADER_BYTES, last - first + 1];
    if (position + byteLength > bytes.byteLength) {
      const why = `a range of ${byteLength} bytes does not fit: the file has ${bytes.byteLength} bytes and is truncated`;
      throw corrupt(bytes.name, at + 8, why);
    }
    regions.add({ pa: first, byteLength, position }, at);
    at = position + byteLength;
  }
  return {
    description: `LiME, ${count} ranges`,
    parts: [{ source: bytes, regions: regions.list() }],
    notes: { cpus: [] },
  };
}
