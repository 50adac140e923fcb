/** Sums of ranges. */
import type { AddressRange } from './list-ranges.ts';

export class RangeTotals {
  #ranges = 0;
  #runs = 0;
  #byteLength = 0;
  #user = 0;
  #writable = 0;
  #executable = 0;
  #writableExecutable = 0;
  readonly #sizes = new Map<number, number>();

  add({ byteLength, rights, sizes, runs }: AddressRange): void {
    this.#ranges++;
    this.#runs += runs;
    this.#byteLength += byteLength;
    if (rights.user) this.#user += byteLength;
    if (rights.writable) this.#writable += byteLength;
    if (!rights.noExecute) this.#executable += byteLength;
    if (rights.writable && !rights.noExecute) this.#writableExecutable += byteLength;
    for (const { pageSize, byteLength: part } of sizes)
      this.#sizes.set(pageSize, (this.#sizes.get(pageSize) ?? 0) + part);
  }

  /** Bytes of addresses, but for the two counts. */
  get sums(): {
    readonly ranges: number;
    readonly runs: number;
    readonly byteLength: number;
    readonly sizes: readonly { readonly pageSize: number; readonly byteLength: number }[];
    readonly user: number;
    readonly writable: number;
    readonly executable: number;
    readonly writableExecutable: number;
  } {
    return {
      ranges: this.#ranges,
      runs: this.#runs,
      byteLength: this.#byteLength,
      sizes: [...this.#sizes].sort(([a], [b]) => a - b).map(([pageSize, byteLength]) => ({ pageSize, byteLength })),
      user: this.#user,
      writable: this.#writable,
      executable: this.#executable,
      writableExecutable: this.#writableExecutable,
    };
  }
}
