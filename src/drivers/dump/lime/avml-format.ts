/**
 * AVML's dumps with `--compress` (microsoft/avml, src/image.rs): for each range of RAM the header of LiME with another magic and version 2,
 * a stream of snappy in frames, and its length in 64 bits. Without `--compress` AVML writes LiME.
 */
import { hex } from '../../../core/address/va.ts';
import { PtmonError } from '../../../core/error.ts';
import { type LongWorkOptions, Pacer } from '../../../driver/pacer.ts';
import { corrupt, type DumpBytes, hasBytes, readPart, readU64 } from '../dump-bytes.ts';
import { DumpRegions } from '../dump-regions.ts';
import type { DumpFormat, OpenedFormat } from '../format.ts';
import { chunkAt, SnappyFrames } from './snappy-frames.ts';

const MAGIC = 'AVML';
const VERSION = 2;
const HEADER_BYTES = 32;
const LENGTH_BYTES = 8;
const MAX_CHUNKS = 2 ** 24;

export const avmlFormat: DumpFormat = {
  name: 'avml',
  recognises: (head) => head.toString('latin1', 0, 4) === MAGIC,
  open: openAvml,
};

async function openAvml(bytes: DumpBytes, options: LongWorkOptions): Promise<OpenedFormat> {
  const regions = new DumpRegions(bytes.name);
  const warnings: string[] = [];
  const places: number[] = [];
  const starts: number[] = [];
  const pacer = new Pacer(options);
  let [at, end, ranges, first] = [0, 0, 0, 0];
  let range: { readonly pa: number; readonly byteLength: number } | undefined;
  const addRange = () => {
    if (range === undefined) return;
    regions.add({ ...range, position: first }, at, end);
    range = undefined;
  };
  try {
    while (at < bytes.byteLength) {
      range = readHeader(bytes, at);
      first = end;
      at += HEADER_BYTES;
      while (end - first < range.byteLength) {
        if (pacer.isDue)
          await pacer.turn({ what: 'looking for frames', done: at, total: bytes.byteLength, unit: 'bytes' });
        const { byteLength, length } = chunkAt(bytes, at);
        if (byteLength > 0) {
          places.push(at);
          starts.push(end);
          end += byteLength;
        }
        at += 4 + length;
        if (places.length > MAX_CHUNKS) throw corrupt(bytes.name, at, `more than ${MAX_CHUNKS} frames`);
      }
      if (!hasBytes(bytes, at, LENGTH_BYTES)) throw corrupt(bytes.name, at, 'the length of a range is cut off');
      at += LENGTH_BYTES;
      ranges++;
      addRange();
    }
  } catch (error) {
    if (!(error instanceof PtmonError) || error.code !== 'corrupt-input' || places.length === 0) throw error;
    addRange();
    warnings.push(`${error.message.replace(`${bytes.name}: `, '')}; memory from offset ${hex(at)} on is missing`);
  }
  return {
    description: `AVML, ${ranges} ranges, compressed by snappy`,
    parts: [{ source: new SnappyFrames(bytes, places, starts), regions: regions.list() }],
    notes: { cpus: [] },
    missing: regions.missing,
    warnings,
  };
}

function readHeader(bytes: DumpBytes, at: number): { readonly pa: number; readonly byteLength: number } {
  const header = readPart(bytes, at, HEADER_BYTES, 'the header of a range');
  if (header.toString('latin1', 0, 4) !== MAGIC)
    throw corrupt(bytes.name, at, 'there is no range header at this place');
  const version = header.readUInt32LE(4);
  if (version !== VERSION) throw corrupt(bytes.name, at + 4, `version ${version} of AVML's format is not known, 2 is`);
  const [first, last] = [readU64(header, 8), readU64(header, 16)];
  if (last < first) throw corrupt(bytes.name, at + 8, 'a range ends before it begins');
  return { pa: first, byteLength: last - first + 1 };
}
