/** Which bytes the source has said that vCPUs write, until they are committed: changes there were captured, not found. */
import { paOf } from '../../../core/address/pa.ts';
import type { SourceEvent } from '../../../driver/driver.ts';

interface ByteRange {
  readonly pa: number;
  readonly end: number;
}

export class WritesInFlight {
  readonly #inFlight = new Map<number, ByteRange[]>();
  /** Committed since the guest stopped. */
  #landed: ByteRange[] = [];

  hear(said: SourceEvent): void {
    if (said.kind === 'write') {
      const ranges = this.#inFlight.get(said.vcpu) ?? [];
      ranges.push({ pa: said.pa, end: said.pa + said.byteLength });
      this.#inFlight.set(said.vcpu, ranges);
    } else if (said.kind === 'commit') {
      for (const range of this.#inFlight.get(said.vcpu) ?? []) this.#landed.push(range);
      this.#inFlight.delete(said.vcpu);
    }
  }

  /** The guest runs on. */
  expire(): void {
    if (this.#landed.length > 0) this.#landed = [];
  }

  /** Those of the frames that committed writes have touched; a write may be as wide as memory. */
  *landedAmong(gfns: Iterable<number>): Generator<number> {
    if (this.#landed.length === 0) return;
    for (const gfn of gfns) if (this.#landed.some(({ pa, end }) => pa < paOf(gfn + 1) && paOf(gfn) < end)) yield gfn;
  }

  /** Whether a reported write reaches into the eight bytes at `pa`. */
  covers(pa: number): boolean {
    const reaches = (range: ByteRange): boolean => range.pa < pa + 8 && pa < range.end;
    return this.#landed.some(reaches) || [...this.#inFlight.values()].some((ranges) => ranges.some(reaches));
  }
}
