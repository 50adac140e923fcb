/** The output of `ptmon maps` (docs/formats/linux.md). */
import { hex } from '../../../core/address/va.ts';
import { type MappedArea, rightsText } from '../../../linux/index.ts';
import { JSONL_VERSION } from '../../../sinks/jsonl-format.ts';
import { columns } from '../../output/columns.ts';
import { areaName } from '../../output/area-name.ts';
import { amountText, sizeText } from '../../output/size-text.ts';

const PAGE_BYTES = 4096n;

/** One line, with its line feed. */
export function areaJson(pid: number, area: MappedArea): string {
  const { start, end, rights, fileOffset, file, name, resident, swapped } = area;
  return `${JSON.stringify({
    v: JSONL_VERSION,
    kind: 'area',
    pid,
    start: hex(start),
    end: hex(end),
    rights: rightsText(rights),
    pages: Number((end - start) / PAGE_BYTES),
    resident,
    swapped,
    fileOffset: hex(fileOffset),
    file: file && { major: file.major, minor: file.minor, inode: String(file.inode) },
    name,
  })}\n`;
}

/** Names, sizes and their order are those of `ptmon map`. */
const HEADING = ['start', 'end', 'size', 'rights', 'resident', 'swapped', 'name'];
const NUMBERS = new Set([2, 4, 5]);

/** Lines without line feeds. */
export function areaTable(areas: readonly MappedArea[]): string[] {
  const rows = areas.map(({ start, end, rights, resident, swapped, name }) => [
    hex(start),
    hex(end),
    sizeText(Number(end - start)),
    rightsText(rights),
    amountText(resident * 4096),
    amountText(swapped * 4096),
    areaName(name),
  ]);
  return columns([HEADING, ...rows], { right: NUMBERS, gap: 2 });
}
