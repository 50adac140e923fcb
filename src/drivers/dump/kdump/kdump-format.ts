/** kdump-compressed dumps, as makedumpfile writes them, and QEMU's `dump-guest-memory -z`, `-l` and `-s` inside the flattened format. */
import { gfnOf } from '../../../core/address/pa.ts';
import type { LongWorkOptions } from '../../../driver/pacer.ts';
import type { DumpBytes } from '../dump-bytes.ts';
import type { DumpFormat, OpenedFormat } from '../format.ts';
import { NoteReader } from '../notes/notes.ts';
import { DUMP_INCOMPLETE, DUMP_WITHOUT_ZEROES, KDUMP_SIGNATURE, readKdumpHeader } from './kdump-header.ts';
import { KdumpPages } from './kdump-pages.ts';
import { PageIndex } from './page-index.ts';

export const kdumpFormat: DumpFormat = {
  name: 'kdump',
  recognises: (head) => head.toString('latin1', 0, 8) === KDUMP_SIGNATURE,
  open: openKdump,
};

async function openKdump(bytes: DumpBytes, options: LongWorkOptions): Promise<OpenedFormat> {
  const warnings: string[] = [];
  const header = readKdumpHeader(bytes, warnings);
  const notes = new NoteReader(bytes, warnings);
  if (header.notes.byteLength > 0) notes.readSegment(header.notes.position, header.notes.byteLength);
  if (header.vmcoreinfo.byteLength > 0) notes.readVmcoreinfo(header.vmcoreinfo.position, header.vmcoreinfo.byteLength);
  const index = await PageIndex.build(bytes, header, options);
  const more = [
    // More than pages of zeroes was left out.
    ...(header.dumpLevel > DUMP_WITHOUT_ZEROES ? [`without the pages of dump level ${header.dumpLevel}`] : []),
    ...(header.status & DUMP_INCOMPLETE ? ['incomplete'] : []),
  ];
  return {
    description: ['kdump', ...more].join(', '),
    parts: [{ source: new KdumpPages(bytes, header, index), regions: index.regions }],
    notes: notes.notes,
    ...(header.dumpLevel > DUMP_WITHOUT_ZEROES && { isLeftOut: (pa) => index.find(gfnOf(pa)) === undefined }),
    missing: index.missing.map(({ pa, byteLength }) => ({ pa, byteLength })),
    warnings: [...index.warnings, ...warnings],
  };
}
