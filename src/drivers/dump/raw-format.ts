/** Raw memory: nothing but bytes, as QEMU's `pmemsave`, its RAM files and dd write them. Where they belong is told, or guessed from the size. */
import { PtmonError } from '../../core/error.ts';
import { PAGE_BYTES } from '../../core/address/pa.ts';
import { formatByteLength, parseRamMap, plainRegions, type RamRegion, RamRegions } from '../ramfile/index.ts';
import type { DumpBytes } from './dump-bytes.ts';
import type { OpenedFormat } from './format.ts';

/** First bytes of files that hold memory, and that are read otherwise than byte by byte. */
const KNOWN_OTHERS: readonly (readonly [start: string, what: string])[] = [
  ['PAGEDU64', 'a Windows crash dump'],
  ['PAGEDUMP', 'a Windows crash dump'],
  ['DISKDUMP', 'a dump of diskdump, which came before kdump'],
  ['AVML', 'a compressed dump of AVML; avml-convert makes LiME of it'],
  ['\x1f\x8b', 'compressed by gzip'],
  ['\xfd7zXZ', 'compressed by xz'],
  ['\x28\xb5\x2f\xfd', 'compressed by zstd'],
  ['BZh', 'compressed by bzip2'],
  ['QFI\xfb', 'a disk image of QEMU (qcow2)'],
  ['QEVM', 'a migration stream of QEMU'],
];

/**
 * @param map where RAM lies in the file, as `parseRamMap` reads it
 * @throws PtmonError `bad-argument` for a map that does not fit or is missing; `corrupt-input` for what is no memory
 */
export function openRaw(bytes: DumpBytes, head: Buffer, map: string | undefined): OpenedFormat {
  const regions = map === undefined ? guessedRegions(bytes, head) : mappedRegions(bytes, map);
  const size = formatByteLength(regions.reduce((sum, { byteLength }) => sum + byteLength, 0));
  const where = map === undefined ? 'from physical address 0 on' : 'as mapped';
  return { description: `raw memory, ${size} ${where}`, parts: [{ source: bytes, regions }], notes: { cpus: [] } };
}

function mappedRegions(bytes: DumpBytes, map: string): readonly RamRegion[] {
  const regions = new RamRegions(parseRamMap(map));
  if (regions.endPosition <= bytes.byteLength) return regions.list;
  throw new PtmonError(
    'bad-argument',
    `the map of RAM needs ${formatByteLength(regions.endPosition)}, and ${bytes.name} has ${bytes.byteLength} bytes`,
  );
}

function guessedRegions(bytes: DumpBytes, head: Buffer): readonly RamRegion[] {
  const start = head.toString('latin1', 0, 16);
  const other = KNOWN_OTHERS.find(([magic]) => start.startsWith(magic));
  if (other !== undefined) {
    throw new PtmonError('corrupt-input', `${bytes.name} is ${other[1]}: ptmon does not read that`, { offset: 0 });
  }
  if (bytes.byteLength === 0 || bytes.byteLength % PAGE_BYTES !== 0) {
    throw new PtmonError(
      'corrupt-input',
      `${bytes.name} is no dump that ptmon knows (ELF core, kdump, flattened kdump, LiME), ` +
        `and no raw memory: its ${bytes.byteLength} bytes are not whole pages`,
      { offset: 0 },
    );
  }
  return plainRegions(bytes.byteLength);
}
