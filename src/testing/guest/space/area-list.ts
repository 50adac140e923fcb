/** What a process may touch: its areas, ascending and apart from each other (the kernel's VMAs). */
import type { SharedFile } from './shared-file.ts';

export interface Area {
  readonly name: string;
  /** First page. */
  readonly start: number;
  readonly pages: number;
  /** False for PROT_NONE. */
  readonly readable: boolean;
  readonly writable: boolean;
  readonly executable: boolean;
  /** What fills its pages; without one they begin as zeroes. */
  readonly file?: SharedFile;
  /** Page of the file that `start` shows. */
  readonly filePage: number;
  /** Whether writes go to the file for all to see, or to a private copy. */
  readonly shared: boolean;
  /** Protection key; 0 where nothing asked for one. */
  readonly key: number;
}

/** Private memory that starts as zeroes. */
export function anonymousArea(name: string, start: number, pages: number, key = 0): Area {
  return { name, start, pages, readable: true, writable: true, executable: false, filePage: 0, shared: false, key };
}

/** Where a gap may be, in pages. */
export interface GapPlace {
  readonly bottom: number;
  readonly top: number;
  /** Its first page divided by `align` (1 by default) leaves `offset` (0). */
  readonly align?: number;
  readonly offset?: number;
}

export class AreaList {
  #areas: Area[] = [];

  get all(): readonly Area[] {
    return this.#areas;
  }

  /** The area that contains page `vpn`. */
  find(vpn: number): Area | undefined {
    for (const area of this.#areas) if (vpn < area.start + area.pages) return vpn >= area.start ? area : undefined;
    return undefined;
  }

  /** Whether any area has a page from `start` to before `end`. */
  touches(start: number, end: number): boolean {
    return this.#areas.some((area) => area.start < end && area.start + area.pages > start);
  }

  add(area: Area): void {
    const at = this.#areas.findIndex((other) => other.start > area.start);
    this.#areas.splice(at < 0 ? this.#areas.length : at, 0, area);
  }

  remove(area: Area): void {
    this.#areas = this.#areas.filter((other) => other !== area);
  }

  clear(): void {
    this.#areas = [];
  }

  /** Takes the pages from `start` to before `end` out of an area; what is left of it stays, in up to two pieces. */
  cut(area: Area, start: number, end: number): void {
    this.remove(area);
    const behind = area.start + area.pages;
    if (start > area.start) this.add(piece(area, area.start, start));
    if (end < behind) this.add(piece(area, end, behind));
  }

  /** Replaces those pages of an area with an area that differs in the given ways. Returns the new one. */
  change(area: Area, start: number, end: number, changes: Partial<Area>): Area {
    this.cut(area, start, end);
    const changed = { ...piece(area, start, end), ...changes };
    this.add(changed);
    return changed;
  }

  /** The first page of the highest gap of that many free pages; -1 without one. */
  gap(pages: number, { top, bottom, align = 1, offset = 0 }: GapPlace): number {
    let ceiling = top;
    for (let n = this.#areas.length; n >= 0; n--) {
      const below = n > 0 ? this.#areas[n - 1]! : undefined;
      const floor = Math.max(bottom, below === undefined ? 0 : below.start + below.pages);
      const highest = ceiling - pages - offset;
      const start = highest - (((highest % align) + align) % align) + offset;
      if (start >= floor) return start;
      if (below !== undefined) ceiling = Math.min(ceiling, below.start);
    }
    return -1;
  }
}

function piece(area: Area, start: number, end: number): Area {
  return { ...area, start, pages: end - start, filePage: area.filePage + (start - area.start) };
}
