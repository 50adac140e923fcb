/** What the checks read of a source: the content of frames, and whether an event is well formed. */
import { gfnOf } from '../../core/address/pa.ts';
import { type PhysicalMemory, READ_OK } from '../../core/memory/physical-memory.ts';
import type { Driver, SourceEvent } from '../../driver/index.ts';

/** Makes these addresses readable, where memory is remote. */
export async function fetchAll(driver: Driver, addresses: readonly number[]): Promise<void> {
  await driver.remote?.fetch(addresses);
}

/** All words of a frame. */
export function contentOf(memory: PhysicalMemory, gfn: number): string {
  const entry = new Uint32Array(2);
  const words: number[] = [];
  for (let offset = 0; offset < 4096; offset += 8) {
    if (memory.readEntry(paOf(gfn) + offset, 8, entry) !== READ_OK) return 'not there';
    words.push(entry[0]!, entry[1]!);
  }
  return words.join();
}

/** Physical address of a frame. */
export function paOf(gfn: number): number {
  return gfn * 4096;
}

/** The frames that a write touches. */
export function framesOf(pa: number, byteLength: number): number[] {
  const first = gfnOf(pa);
  return Array.from({ length: gfnOf(pa + byteLength - 1) - first + 1 }, (_, n) => first + n);
}

/** Returns whether every field of an event has a value that the contract allows. */
export function wellFormed(event: SourceEvent, vcpuCount: number): boolean {
  const whole = (value: number, least: number) => Number.isSafeInteger(value) && value >= least;
  const isVcpu = (vcpu: number) => whole(vcpu, 0) && vcpu < vcpuCount;
  switch (event.kind) {
    case 'write':
      return isVcpu(event.vcpu) && whole(event.view, 0) && whole(event.pa, 0) && whole(event.byteLength, 1);
    case 'commit':
      return isVcpu(event.vcpu);
    case 'missed':
      return event.reason.length > 0 && (event.lost === null || whole(event.lost, 0));
    case 'root-gone':
      return whole(event.root, 1) && event.root % 32 === 0;
    default:
      return false;
  }
}
