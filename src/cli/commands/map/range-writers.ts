/** Ranges as lines of text, JSON or CSV. */
import { PAGE_BYTES } from '../../../core/address/pa.ts';
import { hex } from '../../../core/address/va.ts';
import { bytesText, rightsText } from '../../../sinks/console/event-row.ts';
import { printable } from '../../../sinks/printable.ts';
import { widthOf } from '../../../sinks/text-width.ts';
import { JSONL_VERSION } from '../../../sinks/jsonl-format.ts';
import type { AddressRange, AddressSpace, GapTotals, RangeTotals } from '../../../snapshot/index.ts';
import { gapFields } from '../../output/gap-text.ts';
import { sizeText } from '../../output/size-text.ts';

/** Names in a line of text. */
const MAX_NAMES = 3;
/** Most entries of the column are not wider. */
const PHYSICAL_WIDTH = 27;
/** The totals take two lines where there is less room. */
const TOTALS_COLUMNS = 180;

/** An output format. */
export interface RangeWriter {
  /** @param warnings what is missing or odd in the source */
  heading(space: AddressSpace, warnings?: readonly string[]): string;
  /** @param names of the areas that the range is in */
  range(range: AddressRange, space: AddressSpace, names: readonly string[]): string;
  totals(totals: RangeTotals, gaps: GapTotals): string;
}

/** @param columns of a line; what is longer goes on in the next one */
export const textWriter = (columns: number): RangeWriter => ({
  heading: (space) => {
    const width = addressWidth(space);
    const start = `${'start'.padEnd(width)} ${'end'.padEnd(width)} ${'size'.padStart(7)}  rights  ${'pages'.padEnd(8)} `;
    const line = `${start}${'physical'.padEnd(PHYSICAL_WIDTH)} name`;
    return `${line.length <= columns ? line : `${start}physical, name`}\n`;
  },
  range: (range, space, names) => {
    const { va, byteLength, rights, sizes } = range;
    const pages = sizes.map(({ pageSize }) => bytesText(pageSize)).join(' ');
    const places = [va, endOf(range)].map((each) => hex(each).padEnd(addressWidth(space))).join(' ');
    const size = sizeText(byteLength).padStart(7);
    const start = `${places} ${size}  ${rightsText(rights).padEnd(6)}  ${pages.padEnd(8)} `;
    const line = `${start}${placeText(range, names)}`;
    if (widthOf(line) <= columns) return `${line}\n`;
    const more = [moreRunsText(range), namesText(names)].filter((text) => text !== '').join(', ');
    return `${start}${hex(range.pa)}\n${' '.repeat(addressWidth(space) + 1)}${more}\n`;
  },
  totals: (totals) => {
    const { ranges, runs, byteLength, sizes, user, writable, executable, writableExecutable } = totals.sums;
    const bySize = sizes.map(({ pageSize, byteLength: part }) => `${sizeText(part)} by ${bytesText(pageSize)}`);
    return (
      `\n${ranges} ${ranges === 1 ? 'range' : 'ranges'}, ${runs} physical ${runs === 1 ? 'run' : 'runs'}: ` +
      `${sizeText(byteLength)}${bySize.length > 0 ? ` (${bySize.join(', ')})` : ''};${columns < TOTALS_COLUMNS ? '\n' : ' '}` +
      `user ${sizeText(user)}, writable ${sizeText(writable)}, executable ${sizeText(executable)}, ` +
      `both ${sizeText(writableExecutable)}\n`
    );
  },
});

export const JSON_LINES: RangeWriter = {
  heading: ({ paging, root, from, isGuess }, warnings = []) =>
    json('map', {
      mode: paging.mode.name,
      root: hex(root),
      from,
      isGuess,
      ...(warnings.length > 0 && { warnings }),
    }),
  range: (range, _space, names) => {
    const { va, byteLength, rights, sizes, pa, runs, repeats } = range;
    return json('range', {
      va: hex(va),
      end: hex(endOf(range)),
      pages: byteLength / PAGE_BYTES,
      rights,
      sizes: sizes.map(({ pageSize, byteLength: part }) => ({ pageSize, pages: part / PAGE_BYTES })),
      pa: hex(pa),
      runs,
      ...(repeats && { repeats }),
      ...(names.length > 0 && { names }),
    });
  },
  totals: (totals, gaps) => {
    const { ranges, runs, byteLength, sizes, user, writable, executable, writableExecutable } = totals.sums;
    const pages = (bytes: number) => bytes / PAGE_BYTES;
    return json('totals', {
      ranges,
      runs,
      pages: pages(byteLength),
      sizes: sizes.map(({ pageSize, byteLength: part }) => ({ pageSize, pages: pages(part) })),
      user: pages(user),
      writable: pages(writable),
      executable: pages(executable),
      writableExecutable: pages(writableExecutable),
      ...gapFields(gaps),
    });
  },
};

/** RFC 4180, with a heading. Only names may need quotes. */
export const CSV: RangeWriter = {
  heading: () => 'start,end,bytes,writable,user,executable,protection_key,page_sizes,physical,runs,repeats,names\r\n',
  range: (range, _space, names) => {
    const { va, byteLength, rights, sizes, pa, runs, repeats } = range;
    const flags = [rights.writable, rights.user, !rights.noExecute];
    const pageSizes = sizes.map(({ pageSize }) => pageSize).join(' ');
    // BigInt prints all digits; a number above 2^53 does not.
    return `${[hex(va), hex(endOf(range)), BigInt(byteLength), ...flags, rights.protectionKey, pageSizes, hex(pa), runs, repeats, quoted(names.join('; '))].join()}\r\n`;
  },
  totals: () => '',
};

/** A value as RFC 4180 has it, where it needs quotes. */
function quoted(value: string): string {
  return /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
}

/** Width of an address. */
function addressWidth({ paging }: AddressSpace): number {
  return paging.mode.canonical ? 18 : 11;
}

/** Exclusive; 0x0 after the last page of the address space. */
function endOf({ va, byteLength }: AddressRange): bigint {
  return BigInt.asUintN(64, va + BigInt(byteLength));
}

/** Where a range lies in physical memory, and what it is called. */
function placeText(range: AddressRange, names: readonly string[]): string {
  const more = moreRunsText(range);
  const physical = more === '' ? hex(range.pa) : `${hex(range.pa)} ${more}`;
  return names.length === 0 ? physical : `${physical.padEnd(PHYSICAL_WIDTH)} ${namesText(names)}`;
}

function namesText(names: readonly string[]): string {
  const shown = names.slice(0, MAX_NAMES).map(printable).join(', ');
  return names.length > MAX_NAMES ? `${shown} and ${names.length - MAX_NAMES} more` : shown;
}

function moreRunsText({ runs, repeats }: AddressRange): string {
  if (repeats) return 'each';
  return runs === 1 ? '' : `and ${runs - 1} more ${runs === 2 ? 'run' : 'runs'}`;
}

function json(kind: string, fields: object): string {
  return `${JSON.stringify({ v: JSONL_VERSION, kind, ...fields })}\n`;
}
