/** Blocks of an address space where the guest's system does not name them: pages that lie close together. */
import type { Run } from './runs.ts';
import type { Area } from './scene.ts';

/** Pages between two runs of one block at most: 64 KiB, as between the segments of a program. */
const MAX_GAP = 16;
/** A block with a name goes on across a hole as large as a page table covers. */
const MAX_NAMED_GAP = 512;

/** Pages, and the name that events give them. */
export interface NamedPages {
  readonly vpn: number;
  readonly pages: number;
  /** Empty where it is not known. */
  readonly name: string;
  readonly rights?: string;
}

/** The rights of two areas that are shown as one: `r--p rw-p`; none where neither has any. */
export function joinRights(a: Pick<Area, 'rights'>, b: Pick<Area, 'rights'>): Pick<Area, 'rights'> {
  const words = [a.rights, b.rights].flatMap((rights) => rights?.split(' ') ?? []);
  return words.length === 0 ? {} : { rights: [...new Set(words)].join(' ') };
}

/** Pages of runs, without a name. */
export function unnamed(runs: Iterable<Run>): NamedPages[] {
  return Array.from(runs, ([vpn, pages]) => ({ vpn, pages, name: '' }));
}

/**
 * Ascending; they do not overlap.
 *
 * @param spans in any order; they may overlap
 */
export function arrangeAreas(spans: Iterable<NamedPages>): Area[] {
  const areas: { vpn: number; end: number; name: string; rights: Pick<Area, 'rights'> }[] = [];
  const sorted = [...spans].filter(({ pages }) => pages > 0).sort((a, b) => a.vpn - b.vpn || a.pages - b.pages);
  for (const { vpn, pages, name, rights } of sorted) {
    const last = areas.at(-1);
    const end = vpn + pages;
    const own = rights === undefined ? {} : { rights };
    const isInside = last !== undefined && vpn < last.end;
    const isAlike = last !== undefined && (last.name === name || last.name === '' || name === '');
    const maxGap = last !== undefined && last.name === name && name !== '' ? MAX_NAMED_GAP : MAX_GAP;
    if (last !== undefined && (isInside || (isAlike && vpn - last.end <= maxGap))) {
      last.end = Math.max(last.end, end);
      if (last.name === '') last.name = name;
      last.rights = joinRights(last.rights, own);
    } else {
      areas.push({ vpn, end, name, rights: own });
    }
  }
  return areas.map(({ vpn, end, name, rights }) => ({ vpn, pages: end - vpn, name, ...rights }));
}
