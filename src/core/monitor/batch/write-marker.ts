/** Marks the entries that a write touches, before it is in memory. */
import { frameOffsetOf, gfnOf, PAGE_BYTES } from '../../address/pa.ts';
import { prefetch } from '../fast-path/plain-tables.ts';
import type { ProtectedTables } from '../tables/protected-tables.ts';
import type { ReverseMap } from '../tables/rmap.ts';
import type { TableNode } from '../tables/table-node.ts';
import type { DirtyMarks } from './dirty-marks.ts';

export interface WriteMarkerParts {
  readonly tables: ProtectedTables;
  readonly rmap: ReverseMap;
  readonly marks: DirtyMarks;
  readonly entryBytes: number;
  readonly isFast: boolean;
}

export class WriteMarker {
  readonly #tables: ProtectedTables;
  readonly #rmap: ReverseMap;
  readonly #marks: DirtyMarks;
  readonly #entryBytes: number;
  /** Bits of a frame offset that lie within an entry. */
  readonly #entryShift: number;
  readonly #isFast: boolean;

  constructor({ tables, rmap, marks, entryBytes, isFast }: WriteMarkerParts) {
    this.#tables = tables;
    this.#rmap = rmap;
    this.#marks = marks;
    this.#entryBytes = entryBytes;
    this.#entryShift = Math.log2(entryBytes);
    this.#isFast = isFast;
  }

  /** Of a write to the entry at `pa`, or to any byte of it. @returns whether the entry is on a watched walk, in any view */
  markEntry(pa: number, vcpu: number): boolean {
    const gfn = gfnOf(pa);
    const firstNode = this.#rmap.firstIn(gfn);
    if (firstNode === null && !this.#tables.trapsUnmapped(gfn, this.#rmap.size)) {
      this.#marks.noteEntryElsewhere(vcpu, pa);
      return false;
    }
    const offset = frameOffsetOf(pa);
    const isMonitored = this.#isMonitored(firstNode, offset >>> this.#entryShift, offset >>> this.#entryShift);
    this.#marks.add(vcpu, pa - (offset & (this.#entryBytes - 1)));
    return isMonitored;
  }

  /** Of a write of any width and alignment, frame by frame. @returns whether any entry that it touches is on a watched walk */
  markBytes(pa: number, byteLength: number, vcpu: number): boolean {
    const first = gfnOf(pa);
    const last = gfnOf(pa + byteLength - 1);
    let isMonitored = false;
    const frames = this.#tables.framesInFlight(first, last);
    if (frames.length <= last - first) this.#marks.noteElsewhere(vcpu, pa, byteLength);
    for (const gfn of frames) {
      const firstNode = this.#rmap.firstIn(gfn);
      const start = gfn * PAGE_BYTES;
      const from = Math.max(0, pa - start) >>> this.#entryShift;
      const to = (Math.min(PAGE_BYTES, pa + byteLength - start) - 1) >>> this.#entryShift;
      this.#marks.addRun(vcpu, start + from * this.#entryBytes, to - from + 1, this.#entryBytes);
      if (this.#isMonitored(firstNode, from, to)) isMonitored = true;
    }
    return isMonitored;
  }

  /** Whether the entry of any of these slots is on some watched walk, by the first node of its frame. */
  #isMonitored(firstNode: TableNode | null, from: number, to: number): boolean {
    if (this.#isFast && firstNode !== null && from === to && prefetch(firstNode, from)) return true;
    for (let node = firstNode; node !== null; node = node.nextInFrame) {
      const position = node.firstFrom(from - node.firstSlot);
      if (position >= 0 && node.slotAt(position) <= to - node.firstSlot) return true;
    }
    return false;
  }
}
