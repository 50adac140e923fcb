/** Where the parts of a kernel's image are that are known by what they hold. Offsets in bytes from the image's first code. */
export interface KernelPlaces {
  /** Of the note with the build id, and the id in hexadecimal. */
  readonly note: number;
  readonly buildId: string;
  readonly btf: number;
  readonly initTask: number;
  /** Of the kernel's own top-level table; null where it was not found. */
  readonly kernelRoot: number | null;
  /** Of the bounds of the area that every process is shown at the end of its memory (`gate_vma`); null where there is none. */
  readonly gate: number | null;
}

/** Remembers what was found in a kernel, by its build id. What it answers is checked against the guest's memory before it is used. */
export interface KernelCache {
  all(): readonly KernelPlaces[];
  add(places: KernelPlaces): void;
}
