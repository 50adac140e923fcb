/**
 * Writes in flight (rules C4, C5): for each vCPU, the entries that it is about to write.
 *
 * A mark outlives the protection of its table. A write that trapped stays in flight when its table is released. Where the table is
 * watched again before the write lands, only the mark says that the value just read is about to be overwritten (C1).
 */
import { PAGE_BYTES } from '../../address/pa.ts';
import { NumberList } from '../../struct/number-list.ts';
import { WriteRing } from './write-ring.ts';

const NOTHING = new NumberList();

export class DirtyMarks {
  readonly #lists = new Map<number, NumberList>();
  /** The list that is being processed. It is not sorted until `dropLent`, which drops its beginning, or `keepLent`. */
  #lent: NumberList | undefined;
  /** Writes in flight to frames without a watched table, by vCPU. */
  readonly #rings = new Map<number, WriteRing>();
  /** The ring of the vCPU that is being processed. Its writes had landed when that began; later ones go to another ring in `#rings`. */
  #landed: WriteRing | undefined;
  #landedVcpu = -1;
  /** An empty ring for the next `#takeOut`. */
  #spare: WriteRing | undefined;
  #lastRing: WriteRing | undefined;
  #lastRingVcpu = -1;
  /** vCPUs with a write in flight. */
  #pending = 0;
  /** How often each entry is in the lists. Made when `has` asks for it, and dropped when at most one vCPU has writes in flight. */
  #counts: Map<number, number> | null = null;
  // The list that was used last: a write is marked, lent and dropped.
  #lastVcpu = -1;
  #last = NOTHING;

  add(vcpu: number, entryPa: number): void {
    let list = this.#find(vcpu);
    if (list === undefined) {
      list = new NumberList();
      this.#lists.set(vcpu, list);
    }
    const { length } = list;
    if (length === 0) this.#pending++;
    // An entry of the list that is being processed may have been read already. Marked again, it must be added again.
    if (length > 0 && list !== this.#lent) {
      if (list.at(length - 1) === entryPa) return;
      // A vCPU that writes the same entries over and over must not grow its list: at each power of two, drop duplicates.
      if (length >= 1024 && (length & (length - 1)) === 0) {
        list.sortUnique();
        this.#counts = null;
      }
    }
    list.push(entryPa);
    if (this.#counts !== null) this.#count(entryPa);
  }

  /** Adds `count` neighbouring entries. */
  addRun(vcpu: number, first: number, count: number, entryBytes: number): void {
    this.add(vcpu, first);
    if (count === 1) return;
    const list = this.#find(vcpu)!;
    const before = list.length;
    list.pushRun(first + entryBytes, entryBytes, count - 1);
    if (this.#counts !== null) {
      for (let at = before; at < list.length; at++) this.#count(list.at(at));
    }
    // As for a single entry.
    if (list !== this.#lent && before >= 1024 && Math.clz32(before) !== Math.clz32(list.length)) {
      list.sortUnique();
      this.#counts = null;
    }
  }

  #count(entryPa: number): void {
    this.#counts!.set(entryPa, (this.#counts!.get(entryPa) ?? 0) + 1);
  }

  /** Whether any vCPU has a write to an entry in flight. */
  has(entryPa: number): boolean {
    if (this.#counts === null) {
      this.#counts = new Map();
      for (const list of this.#lists.values()) {
        for (let at = 0; at < list.length; at++) this.#count(list.at(at));
      }
    }
    return this.#counts.has(entryPa);
  }

  /** The entries that `vcpu` has in flight, ascending: a fresh list. */
  of(vcpu: number): NumberList {
    const own = new NumberList();
    own.pushAll(this.#find(vcpu) ?? NOTHING);
    own.sortUnique();
    return own;
  }

  /**
   * Begins to process a vCPU: returns its list, in the order of the marks, perhaps with duplicates. A mark that is added before
   * `dropLent` or `keepLent` goes to the end of the same list.
   */
  lend(vcpu: number): NumberList {
    if (this.#rings.size > 0) this.#takeOut(vcpu);
    const list = this.#find(vcpu) ?? NOTHING;
    if (list.length > 0) this.#lent = list;
    return list;
  }

  /** vCPUs that have a write in flight. */
  get pending(): number {
    return this.#pending;
  }

  /** The entries that any vCPU has in flight, ascending: a fresh list. */
  ofAll(): NumberList {
    const all = new NumberList();
    for (const list of this.#lists.values()) all.pushAll(list);
    all.sortUnique();
    return all;
  }

  /** Sets the vCPU's ring aside, because its writes have landed. Later writes go to another ring. */
  #takeOut(vcpu: number): void {
    const ring = this.#rings.get(vcpu);
    if (ring === undefined || ring.isEmpty) return;
    this.#landed = ring;
    this.#landedVcpu = vcpu;
    this.#setRing(vcpu, this.#spare ?? new WriteRing());
    this.#spare = undefined;
  }

  /** Drops the first `count` entries of the list that is lent, and the writes to other frames: they have landed. */
  dropLent(count: number): void {
    const landed = this.#landed;
    if (landed !== undefined) {
      landed.clear();
      this.#spare = landed;
      this.#landed = undefined;
    }
    const list = this.#lent;
    if (list === undefined) return;
    this.#lent = undefined;
    if (this.#counts !== null) this.#uncount(list, count);
    list.dropFirst(count);
    if (list.length === 0) this.#pending--;
  }

  #uncount(list: NumberList, count: number): void {
    const counts = this.#counts!;
    for (let at = 0; at < count; at++) {
      const left = counts.get(list.at(at))! - 1;
      if (left > 0) counts.set(list.at(at), left);
      else counts.delete(list.at(at));
    }
    if (this.#pending <= 2) this.#counts = null;
  }

  /** Keeps the list that is lent: it could not be processed. */
  keepLent(): void {
    const landed = this.#landed;
    if (landed !== undefined) {
      landed.addAll(this.#rings.get(this.#landedVcpu)!);
      this.#setRing(this.#landedVcpu, landed);
      this.#landed = undefined;
    }
    this.#lent = undefined;
  }

  /** Notes a write to one entry of a frame without a watched table: `pa` is any byte of it. */
  noteEntryElsewhere(vcpu: number, pa: number): void {
    const ring = vcpu === this.#lastRingVcpu ? this.#lastRing! : this.#ringOf(vcpu);
    ring.addEntry(pa);
  }

  /** Notes a write of which at least a part is to a frame without a watched table. */
  noteElsewhere(vcpu: number, pa: number, byteLength: number): void {
    this.#ringOf(vcpu).addBytes(pa, byteLength);
  }

  #ringOf(vcpu: number): WriteRing {
    const ring = this.#rings.get(vcpu) ?? new WriteRing();
    this.#setRing(vcpu, ring);
    return ring;
  }

  #setRing(vcpu: number, ring: WriteRing): void {
    this.#rings.set(vcpu, ring);
    this.#lastRing = ring;
    this.#lastRingVcpu = vcpu;
  }

  /** A frame has become a watched table: the writes to it that are in flight become marks. */
  adopt(gfn: number, entryBytes: number): void {
    for (const [vcpu, ring] of this.#rings) {
      for (const { from, to } of ring.within(gfn * PAGE_BYTES, (gfn + 1) * PAGE_BYTES)) {
        for (let pa = from - (from % entryBytes); pa < to; pa += entryBytes) this.add(vcpu, pa);
      }
    }
  }

  #find(vcpu: number): NumberList | undefined {
    if (vcpu === this.#lastVcpu) return this.#last;
    const list = this.#lists.get(vcpu);
    if (list === undefined) return undefined;
    this.#lastVcpu = vcpu;
    this.#last = list;
    return list;
  }

  vcpus(): number[] {
    return [...this.#lists.keys()].sort((a, b) => a - b);
  }
}
