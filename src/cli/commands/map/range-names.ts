/** What a guest's Linux calls the ranges of a map: areas of its kernel's half, and of the process that has the address space. */
import type { KernelArea, MemoryArea } from '../../../linux/index.ts';
import type { AddressRange } from '../../../snapshot/index.ts';
import type { Visit } from '../../snapshot/visit-snapshot.ts';
import { areaName } from '../../output/area-name.ts';
import { partitionPoint } from '../../../core/struct/partition-point.ts';

interface Named {
  readonly start: bigint;
  /** Exclusive. */
  readonly end: bigint;
  readonly name: string;
}

/** Asks for names of a half when the first range of it comes. */
export class RangeNames {
  readonly #visit: Visit;
  readonly #kernelStart: bigint;
  #kernel: Promise<readonly KernelArea[]> | undefined;
  #process: Promise<readonly MemoryArea[]> | undefined;

  constructor(visit: Visit) {
    this.#visit = visit;
    this.#kernelStart = visit.space.paging.mode.canonical ? 1n << 63n : 0x4000_0000n;
  }

  /** The names of the areas that a range is in, in order, each once; none without a known Linux. */
  async of({ va, byteLength }: AddressRange): Promise<readonly string[]> {
    const end = va + BigInt(byteLength);
    const names = new Set<string>();
    const add = (areas: readonly Named[]) => {
      for (
        let at = partitionPoint(areas.length, (index) => areas[index]!.end <= va);
        at < areas.length && areas[at]!.start < end;
        at++
      ) {
        names.add(areaName(areas[at]!.name));
      }
    };
    if (va < 1n << 63n) add(await (this.#process ??= this.#visit.linux.areasOf(this.#visit.space.root)));
    if (end > this.#kernelStart) add(await (this.#kernel ??= this.#kernelAreas()));
    return [...names];
  }

  async #kernelAreas(): Promise<readonly KernelArea[]> {
    return (await this.#visit.linux.names())?.areas ?? [];
  }
}
