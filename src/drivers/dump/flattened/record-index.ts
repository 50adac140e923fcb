/**
 * Where the bytes of the dump are in a flattened file. A file that could not be sought in was written as records, each of which says
 * where its bytes belong (makedumpfile, IMPLEMENTATION, "flattened format"): two big-endian 64-bit numbers, position and length, then
 * the bytes. -1 for both ends it. What is written later takes the place of what was written before; writers do that to headers only.
 *
 * Two numbers are kept for each record, and no more than `MAX_RECORDS` of them: 256 MiB for a dump of some 250 GB, as writers' records
 * are of about 16 KiB. A reading looks through the few records that lie over others one by one, and finds the rest by halving.
 */
import { PtmonError } from '../../../core/error.ts';
import { type LongWorkOptions, Pacer } from '../../../driver/pacer.ts';
import { corrupt, type DumpBytes, hasBytes, readPart } from '../dump-bytes.ts';
import { partitionPoint } from '../../../core/struct/partition-point.ts';

const HEADER_BYTES = 4096;
const RECORD_HEADER_BYTES = 16;
const MAX_RECORDS = 2 ** 24;
/** Records that lie over others: writers go back to headers a few times. */
const MAX_OVERLAPS = 4096;

/** Bytes of one record. */
export interface Piece {
  /** Its place among all: the later one holds. */
  readonly order: number;
  /** Where its bytes belong. */
  readonly target: number;
  readonly byteLength: number;
  /** Where they are in the flattened file. */
  readonly position: number;
}

export class RecordIndex {
  /** By their targets, and without overlaps. */
  readonly #sorted: Uint32Array;
  readonly #over: readonly number[];
  readonly #targets: Float64Array;
  readonly #positions: Float64Array;
  /** One more than the highest target. */
  readonly end: number;
  /** Where the file ends, if it does so before the record that ends it. */
  readonly cutAt: number | undefined;

  private constructor(targets: Float64Array, positions: Float64Array, name: string, cutAt?: number) {
    this.#targets = targets;
    this.#positions = positions;
    this.cutAt = cutAt;
    const [sorted, over] = this.#withoutOverlaps(name);
    this.#sorted = sorted;
    this.#over = over;
    this.end = [sorted.at(-1), ...over].reduce<number>((end, order) => Math.max(end, this.#endOf(order ?? -1)), 0);
  }

  /** @throws PtmonError `corrupt-input`; the reason of the signal when it is aborted */
  static async read(bytes: DumpBytes, options: LongWorkOptions = {}): Promise<RecordIndex> {
    let targets = new Float64Array(1024);
    let positions = new Float64Array(1024);
    let at = HEADER_BYTES;
    const pacer = new Pacer(options);
    for (let count = 0; ; count++) {
      if (pacer.isDue)
        await pacer.turn({ what: 'looking for records', done: at, total: bytes.byteLength, unit: 'bytes' });
      if (count + 1 >= targets.length) [targets, positions] = [doubled(targets), doubled(positions)];
      positions[count] = at + RECORD_HEADER_BYTES;
      // Without the rest, the records before it can still be read.
      const cut = (records: number) =>
        new RecordIndex(targets.subarray(0, records), positions.subarray(0, records + 1), bytes.name, at);
      if (count > 0 && !hasBytes(bytes, at, RECORD_HEADER_BYTES)) return cut(count);
      const header = readPart(bytes, at, RECORD_HEADER_BYTES, 'the header of a record');
      const [target, byteLength] = [header.readBigInt64BE(0), header.readBigInt64BE(8)];
      if (target === -1n && byteLength === -1n) {
        return new RecordIndex(targets.subarray(0, count), positions.subarray(0, count + 1), bytes.name);
      }
      const next = at + RECORD_HEADER_BYTES + Number(byteLength);
      if (target < 0n || byteLength <= 0n || target + byteLength > BigInt(Number.MAX_SAFE_INTEGER)) {
        if (count > 0) return cut(count);
        throw corrupt(bytes.name, at, `a record of ${byteLength} bytes for position ${target} makes no sense`);
      }
      if (next > bytes.byteLength) {
        targets[count] = Number(target);
        positions[count + 1] = bytes.byteLength + RECORD_HEADER_BYTES;
        return cut(count + 1);
      }
      if (count === MAX_RECORDS) {
        const why = `${bytes.name} has more than ${MAX_RECORDS} records; make a plain dump of it with makedumpfile -R`;
        throw new PtmonError('source-unavailable', why);
      }
      targets[count] = Number(target);
      at = next;
    }
  }

  /** The pieces that have any of these bytes, those that were written first first. */
  find(target: number, byteLength: number): Piece[] {
    const end = target + byteLength;
    const found: Piece[] = [];
    for (let index = this.#firstEndingAfter(target); index < this.#sorted.length; index++) {
      const order = this.#sorted[index]!;
      if (this.#targets[order]! >= end) break;
      found.push(this.#piece(order));
    }
    const over = this.#over.filter((order) => this.#targets[order]! < end && this.#endOf(order) > target);
    if (over.length === 0) return found;
    return [...found, ...over.map((order) => this.#piece(order))].sort((a, b) => a.order - b.order);
  }

  /** Whether records have all of these bytes. */
  covers(target: number, byteLength: number): boolean {
    const pieces = this.find(target, byteLength).sort((a, b) => a.target - b.target);
    let end = target;
    for (const piece of pieces) {
      if (piece.target > end) return false;
      end = Math.max(end, piece.target + piece.byteLength);
    }
    return end >= target + byteLength;
  }

  /** Takes from the records those that lie over an earlier one, until none of the rest overlap. */
  #withoutOverlaps(name: string): [sorted: Uint32Array, over: number[]] {
    const targets = this.#targets;
    const sorted = Uint32Array.from(targets, (_, order) => order).sort((a, b) => targets[a]! - targets[b]! || a - b);
    const over: number[] = [];
    let kept = 0;
    for (const order of sorted) {
      let isOver = false;
      while (kept > 0 && !isOver && targets[order]! < this.#endOf(sorted[kept - 1]!)) {
        const last = sorted[kept - 1]!;
        isOver = order > last;
        over.push(isOver ? order : last);
        if (!isOver) kept--;
        if (over.length > MAX_OVERLAPS) {
          throw corrupt(name, this.#positions[order]!, `more than ${MAX_OVERLAPS} records lie over others`);
        }
      }
      if (!isOver) sorted[kept++] = order;
    }
    return [sorted.subarray(0, kept), over];
  }

  #firstEndingAfter(target: number): number {
    return partitionPoint(this.#sorted.length, (index) => this.#endOf(this.#sorted[index]!) <= target);
  }

  #endOf(order: number): number {
    return order < 0 ? 0 : this.#targets[order]! + this.#lengthOf(order);
  }

  /** Records follow each other, so that the next one's place tells. */
  #lengthOf(order: number): number {
    return this.#positions[order + 1]! - RECORD_HEADER_BYTES - this.#positions[order]!;
  }

  #piece(order: number): Piece {
    const [target, position] = [this.#targets[order]!, this.#positions[order]!];
    return { order, target, byteLength: this.#lengthOf(order), position };
  }
}

function doubled(numbers: Float64Array): Float64Array<ArrayBuffer> {
  const more = new Float64Array(numbers.length * 2);
  more.set(numbers);
  return more;
}
