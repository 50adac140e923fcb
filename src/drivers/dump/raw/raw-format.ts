/**
 * Raw memory: nothing but bytes, as QEMU's `pmemsave`, its RAM files and dd write them. It is what no other format claims, and what looks
 * like memory. Where it belongs a map says, or its size.
 */
import { PAGE_BYTES } from '../../../core/address/pa.ts';
import { PtmonError } from '../../../core/error.ts';
import { formatByteLength, parseRamMap, plainRegions, type RamRegion, RamRegions } from '../../ramfile/index.ts';
import type { DumpBytes } from '../dump-bytes.ts';
import { foreignFile } from './foreign-files.ts';
import type { OpenedFormat } from '../format.ts';
import { whyNoMemory } from './memory-likeness.ts';

/** What is read, for messages. */
const KNOWN =
  'ELF core, kdump, flattened kdump, LiME, AVML, migration stream of QEMU, savevm in a qcow2, virsh save, VMware, Windows crash dump';

/**
 * @param map where RAM lies in the file, as `parseRamMap` reads it: then the file is taken for memory, whatever it looks like
 * @throws PtmonError `bad-argument` for a map that does not fit or is missing; `corrupt-input` for what is no memory
 */
export function openRaw(bytes: DumpBytes, map: string | undefined): OpenedFormat {
  const { regions, warnings } =
    map === undefined ? guessedRegions(bytes) : { regions: mappedRegions(bytes, map), warnings: [] };
  const size = formatByteLength(regions.reduce((sum, { byteLength }) => sum + byteLength, 0));
  const where = map === undefined ? 'from physical address 0 on' : 'as mapped';
  return {
    description: `raw memory, ${size} ${where}`,
    parts: [{ source: bytes, regions }],
    notes: { cpus: [] },
    ...(warnings.length > 0 && { warnings }),
  };
}

function mappedRegions(bytes: DumpBytes, map: string): readonly RamRegion[] {
  const regions = new RamRegions(parseRamMap(map));
  if (regions.endPosition <= bytes.byteLength) return regions.list;
  throw new PtmonError(
    'bad-argument',
    `the map of RAM needs ${formatByteLength(regions.endPosition)}, and ${bytes.name} has ${bytes.byteLength} bytes`,
  );
}

function guessedRegions(bytes: DumpBytes): { readonly regions: readonly RamRegion[]; readonly warnings: string[] } {
  const rest = bytes.byteLength % PAGE_BYTES;
  const whole = bytes.byteLength - rest;
  const foreign = foreignFile(bytes);
  if (foreign !== undefined) {
    throw noMemory(`${bytes.name} is ${foreign.what}: ptmon does not read that; ${foreign.advice}`, whole);
  }
  const unknown = `${bytes.name} is neither a dump that ptmon knows (${KNOWN}) nor raw memory`;
  if (whole === 0) throw noMemory(`${unknown}: its ${bytes.byteLength} bytes are less than a page`, whole);
  const why = whyNoMemory(bytes);
  if (why !== undefined) throw noMemory(`${unknown}: ${why}`, whole);
  const warnings =
    rest === 0
      ? []
      : [
          `this raw memory of ${bytes.byteLength} bytes is not whole pages of ${PAGE_BYTES}: the copy may be truncated, or begin with a header; ` +
            `the last ${rest} are not read`,
        ];
  return { regions: plainRegions(whole), warnings };
}

function noMemory(why: string, byteLength: number): PtmonError {
  const map =
    byteLength > 0 ? `. If it is raw memory all the same: --ram-map 0x0+${formatByteLength(byteLength)}@0` : '';
  return new PtmonError('corrupt-input', `${why}${map}`, { offset: 0 });
}
