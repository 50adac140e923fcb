/** Dumps of an address space that a test has built. */
import { dumpFile, elfDump, type Frames, notesOf, PAGE } from '../drivers/dump/write-dump.ts';
import type { SpaceBuilder } from '../snapshot/space.ts';

/** The tables of a space, as a dump. */
export function framesOf(builder: SpaceBuilder): Frames {
  const { byteLength } = builder.snapshot().regions[0]!;
  const frames = new Map<number, Uint8Array>();
  for (let gfn = 0; gfn < byteLength / PAGE; gfn++) {
    const page = builder.machine.memory.page(gfn);
    if (page !== undefined) frames.set(gfn, new Uint8Array(page.slice().buffer));
  }
  return frames;
}

export function dumpOf(builder: SpaceBuilder, make = elfDump): string {
  const notes = notesOf([{ cr0: 0x8000_0001n, cr3: builder.root, cr4: 0x20n }]);
  return dumpFile(make(framesOf(builder), { notes }));
}
