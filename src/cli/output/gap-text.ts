/** The parts of an address space that a command could not read, as lines for standard error and as fields of JSON. */
import { PAGE_BYTES } from '../../core/address/pa.ts';
import { hex } from '../../core/address/va.ts';
import type { AddressSpace, GapTotals, SpaceGap } from '../../snapshot/index.ts';
import { sizeText } from './size-text.ts';

/** The gaps that a line names. */
const NAMED = 4;

/** A line for the missing tables, if any, and one for the entries with reserved bits, if any. */
export function gapLines(gaps: GapTotals, space: AddressSpace, source = ''): string {
  const { missingTables, missingBytes, reservedEntries } = gaps;
  const what = source === '' ? '' : `${source}: `;
  const lines: string[] = [];
  if (missingTables > 0) {
    const size = sizeText(missingBytes);
    lines.push(
      `${what}${count(missingTables, 'page table is', 'page tables are')} missing, so it is unknown what ${size} of the ` +
        `address space map to${named(gaps, 'no-memory', space)}`,
    );
  }
  if (reservedEntries > 0) {
    lines.push(
      `${what}${count(reservedEntries, 'entry has', 'entries have')} reserved bits set, so the processor faults there` +
        named(gaps, 'reserved-bit', space),
    );
  }
  return lines.map((line) => `ptmon: ${line}\n`).join('');
}

/** One line that says why nothing at all is mapped. */
export function emptyLine(gaps: GapTotals, { root, paging }: AddressSpace, source = ''): string {
  const why =
    gaps.missingTables > 0
      ? gaps.named.some(({ level }) => level === paging.levels.length)
        ? 'the root itself is missing'
        : 'the tables that it points to are missing'
      : gaps.reservedEntries > 0
        ? 'its entries have reserved bits set. Try another paging mode (--paging), or the bit of memory encryption (--encryption-mask)'
        : 'no entry below it is present';
  return `ptmon: ${source === '' ? '' : `${source}: `}root ${hex(root)} maps nothing in ${paging.mode.name} paging: ${why}\n`;
}

/** The fields of the last line of a map. */
export function gapFields({ missingTables, missingBytes, reservedEntries, named: list }: GapTotals): object {
  return {
    missingTables,
    missingPages: missingBytes / PAGE_BYTES,
    reservedEntries,
    gaps: list.map(({ reason, va, byteLength, level, pa }) => ({
      reason,
      va: hex(va),
      pages: byteLength / PAGE_BYTES,
      level,
      pa: hex(pa),
    })),
  };
}

function named(gaps: GapTotals, reason: SpaceGap['reason'], { paging }: AddressSpace): string {
  const all = gaps.named.filter((gap) => gap.reason === reason);
  const total = reason === 'no-memory' ? gaps.missingTables : gaps.reservedEntries;
  const texts = all.slice(0, NAMED).map(({ va, byteLength, level, pa }) => {
    const { name } = paging.byLevel[level]!;
    const what = reason === 'no-memory' ? name : `${name}E`;
    return `${hex(va)}+${sizeText(byteLength)} (${what} at ${hex(pa)})`;
  });
  if (texts.length === 0) return '';
  return `: ${texts.join(', ')}${total > texts.length ? ` and ${total - texts.length} more` : ''}`;
}

function count(number: number, one: string, many: string): string {
  return `${number} ${number === 1 ? one : many}`;
}
