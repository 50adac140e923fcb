/** Remembers the content of protected frames, to find changes that no reported write explains. */
import assert from 'node:assert/strict';
import { gfnOf } from '../../core/address/pa.ts';
import { READ_OK } from '../../core/memory/physical-memory.ts';
import type { Driver, SourceEvent, WriteEvent } from '../../driver/index.ts';

/** Accessed and dirty: the processor sets them without a trap. */
const PROCESSORS_OWN = 0x60;

export class FrameWitness {
  readonly #driver: Driver;
  readonly #seen = new Map<number, number[]>();
  readonly #inFlight: WriteEvent[] = [];
  /** How often a frame was found changed. */
  changes = 0;

  constructor(driver: Driver) {
    this.#driver = driver;
  }

  get size(): number {
    return this.#seen.size;
  }

  has(gfn: number): boolean {
    return this.#seen.has(gfn);
  }

  async add(gfn: number): Promise<void> {
    this.#seen.set(gfn, await this.#read(gfn));
  }

  /** Fails where a frame has changed and neither a committed write nor a `missed` of this batch explains it. */
  async check(batch: readonly SourceEvent[]): Promise<void> {
    const mayDiffer = new Set<number>();
    for (const event of batch) {
      if (event.kind === 'write') this.#inFlight.push(event);
      if (event.kind === 'missed') for (const gfn of this.#seen.keys()) mayDiffer.add(gfn);
      if (event.kind !== 'commit') continue;
      for (let n = this.#inFlight.length - 1; n >= 0; n--) {
        const write = this.#inFlight[n]!;
        if (write.vcpu !== event.vcpu) continue;
        for (let gfn: number = gfnOf(write.pa); gfn <= gfnOf(write.pa + write.byteLength - 1); gfn++)
          mayDiffer.add(gfn);
        this.#inFlight.splice(n, 1);
      }
    }
    for (const [gfn, before] of this.#seen) {
      const now = await this.#read(gfn);
      const differs = now.some((word, n) => word !== before[n]);
      if (!differs) continue;
      assert.ok(mayDiffer.has(gfn), `frame 0x${gfn.toString(16)} changed without a committed write`);
      this.changes++;
      this.#seen.set(gfn, now);
    }
  }

  async #read(gfn: number): Promise<number[]> {
    await this.#driver.remote?.fetch([gfn * 4096]);
    const words: number[] = [];
    const entry = new Uint32Array(2);
    for (let pa = gfn * 4096; pa < (gfn + 1) * 4096; pa += 8) {
      if (this.#driver.memory.readEntry(pa, 8, entry) !== READ_OK)
        throw new Error(`frame 0x${gfn.toString(16)} is not RAM`);
      words.push((entry[0]! & ~PROCESSORS_OWN) >>> 0, (entry[1]! & ~PROCESSORS_OWN) >>> 0);
    }
    return words;
  }
}
