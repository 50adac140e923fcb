/** A process of the guest. */
import type { AddressSpace } from './address-space.ts';

export interface Process {
  readonly pid: number;
  /** Name of the program that it runs; changes with `exec`. */
  name: string;
  space: AddressSpace;
  /** The page touched last in each area, by area name: programs return to where they were. */
  readonly places: Map<string, number>;
}
