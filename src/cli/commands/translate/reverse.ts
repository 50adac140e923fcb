/** Reverse translation: the virtual addresses that translate to a physical one. */
import { frameOffsetOf, PAGE_BYTES } from '../../../core/address/pa.ts';
import { hex } from '../../../core/address/va.ts';
import { JSONL_VERSION } from '../../../sinks/jsonl-format.ts';
import { type AddressRange, type GapTotals, listRanges } from '../../../snapshot/index.ts';
import { gapFields } from '../../output/gap-text.ts';
import type { Visit } from '../../snapshot/visit-snapshot.ts';
import { rightsNames } from './explain.ts';
import { pageSizeText } from './text.ts';

export interface AnswerForm {
  readonly json: boolean;
  /** Hears of the tables that are missing. */
  readonly gaps: GapTotals;
}

/** Prints every virtual address that translates to `pa`; adjacent pages with the same frame share a line. */
export async function translateBack(visit: Visit, pa: number, { json, gaps }: AnswerForm): Promise<void> {
  const { snapshot, space, work } = visit;
  const filter = { physical: { pa, byteLength: 1 } };
  let pages = 0;
  if (!json) await visit.print(`${hex(pa)}: root ${hex(space.root)}, ${space.paging.mode.name} paging\n`);
  for await (const range of listRanges(snapshot, space, { ...work, by: 'runs', filter, gaps })) {
    pages += range.byteLength / PAGE_BYTES;
    await visit.print(json ? rangeJson(visit, range, pa) : rangeLine(range, pa));
  }
  if (json) await visit.print(totalsJson(pa, pages, gaps));
  else {
    const count = pages === 1 ? '1 virtual address translates' : `${pages} virtual addresses translate`;
    await visit.print(`  ${pages === 0 ? 'no virtual address translates' : count} to it\n`);
  }
}

function rangeLine(range: AddressRange, pa: number): string {
  const pages = range.byteLength / PAGE_BYTES;
  const more = pages === 1 ? '' : `, and the ${pages - 1} pages after it`;
  const size = pageSizeText(range.sizes[0]!.pageSize);
  return `  ${hex(addressIn(range, pa))}: ${size} page, ${rightsNames(range.rights).join(', ')}${more}\n`;
}

function rangeJson({ space }: Visit, range: AddressRange, pa: number): string {
  const pages = range.byteLength / PAGE_BYTES;
  return `${JSON.stringify({
    v: JSONL_VERSION,
    kind: 'mapping',
    mode: space.paging.mode.name,
    root: hex(space.root),
    pa: hex(pa),
    va: hex(addressIn(range, pa)),
    ...(pages > 1 && { pages }),
    pageSize: range.sizes[0]!.pageSize,
    rights: range.rights,
  })}\n`;
}

function totalsJson(pa: number, pages: number, gaps: GapTotals): string {
  return `${JSON.stringify({ v: JSONL_VERSION, kind: 'totals', pa: hex(pa), pages, ...gapFields(gaps) })}\n`;
}

function addressIn({ va }: AddressRange, pa: number): bigint {
  return va + BigInt(frameOffsetOf(pa));
}
