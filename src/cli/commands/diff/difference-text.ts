/** Differences as lines: of text, with the signs of events, or of JSON, with their kinds. */
import { hex } from '../../../core/address/va.ts';
import { bytesText, rightsText } from '../../../sinks/console/event-row.ts';
import { JSONL_VERSION } from '../../../sinks/jsonl-format.ts';
import type { Difference, GapTotals } from '../../../snapshot/index.ts';
import { gapFields } from '../../output/gap-text.ts';
import { sizeText } from '../../output/size-text.ts';

const SIGNS: Readonly<Record<Difference['kind'], string>> = {
  'page-in': '+',
  'page-out': '-',
  protection: '~',
  restructure: '=',
};

export const HEADING = `  ${'start'.padEnd(18)} ${'size'.padStart(7)}  pages  rights  physical\n`;

export function differenceLine(difference: Difference): string {
  const { kind, va, pages, pa, runs, pageSize, rights } = difference;
  const where = `${hex(va).padEnd(18)} ${sizeText(pages * 4096).padStart(7)}`;
  const physical = runs === 1 ? hex(pa) : `${hex(pa)} and ${runs - 1} more ${runs === 2 ? 'run' : 'runs'}`;
  const size =
    difference.kind === 'restructure'
      ? `${bytesText(difference.oldPageSize)} → ${bytesText(pageSize)}`
      : bytesText(pageSize);
  const may =
    difference.kind === 'protection'
      ? `${rightsText(difference.oldRights)} → ${rightsText(rights)}`
      : rightsText(rights);
  const moved = 'moved' in difference && difference.moved ? '  moved' : '';
  return `${SIGNS[kind]} ${where}  ${size.padEnd(5)}  ${may.padEnd(6)}  ${physical}${moved}\n`;
}

export function differenceJson({ va, pa, ...difference }: Difference, root: number): string {
  const { kind, pages, runs, pageSize, ...rest } = difference;
  const fields = { root: hex(root), va: hex(va), pa: hex(pa), pageSize, pages, runs, ...rest };
  return `${JSON.stringify({ v: JSONL_VERSION, kind, ...fields })}\n`;
}

/** Counts pages by kind of difference. */
export class DifferenceTotals {
  readonly pages = { 'page-in': 0, 'page-out': 0, moved: 0, protection: 0, restructure: 0 };

  /** Pages that moved, by what was reported of them: --kinds may leave out half of it. */
  readonly #moved = { 'page-in': 0, 'page-out': 0 };

  add(difference: Difference): void {
    const { kind, pages } = difference;
    if (!('moved' in difference && difference.moved)) this.pages[kind] += pages;
    else this.pages.moved = Math.max(this.pages.moved, (this.#moved[difference.kind] += pages));
  }

  get isEmpty(): boolean {
    return Object.values(this.pages).every((count) => count === 0);
  }

  get text(): string {
    if (this.isEmpty) return 'no differences\n';
    const { 'page-in': gained, 'page-out': lost, moved, protection, restructure } = this.pages;
    const parts = [
      [gained, 'paged in'],
      [lost, 'paged out'],
      [moved, 'moved'],
      [protection, 'with other rights'],
      [restructure, 'in other page sizes'],
    ] as const;
    const texts = parts.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
    return `\npages of 4K: ${texts.join(', ')}\n`;
  }

  /** With the tables that each source lacks. */
  json(gapsBefore: GapTotals, gapsAfter: GapTotals): string {
    const { 'page-in': pageIn, 'page-out': pageOut, moved, protection, restructure } = this.pages;
    return `${JSON.stringify({
      v: JSONL_VERSION,
      kind: 'totals',
      pages: { pageIn, pageOut, moved, protection, restructure },
      a: gapFields(gapsBefore),
      b: gapFields(gapsAfter),
    })}\n`;
  }
}
