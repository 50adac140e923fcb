/** A guest with memory of every kind, and addresses of every kind in it. */
import { mappedRanges } from '../../../src/core/paging/enumerate.ts';
import { type Dump, openDump } from '../../../src/drivers/dump/index.ts';
import type { findAddressSpace } from '../../../src/snapshot/index.ts';
import { PAGE } from '../../drivers/dump/write-dump.ts';
import { Random } from '../../oracle/random.ts';
import { DumpedGuest } from './dumped-guest.ts';

export const hex = (value: bigint | number): string => `0x${value.toString(16)}`;

export const COUNT = 10_000;
/** Where the workload has mapped memory. */
export const VA = 0x70_0000_0000n;

export async function bootBusyGuest(): Promise<DumpedGuest> {
  const machine = await DumpedGuest.boot({ cpu: 'max,la57=off', smp: 2 });
  // Small pages and huge ones, shared ones, one that is read-only, some that are swapped out, and the page of zeroes.
  await machine.commands(
    `map 600 small at=${hex(VA)}`,
    `touch ${hex(VA)} 500`,
    `read ${hex(VA + 500n * 4096n)} 50`,
    `mprotect ${hex(VA)} 20 r`,
    `mprotect ${hex(VA + 100n * 4096n)} 8 none`,
    `swapout ${hex(VA + 200n * 4096n)} 16`,
    `map 1024 huge at=${hex(VA + 0x4000_0000n)}`,
    `touch ${hex(VA + 0x4000_0000n)} 1024`,
    `fork ${hex(VA + 300n * 4096n)} 16`,
    `cow ${hex(VA + 300n * 4096n)} 4`,
  );
  return machine;
}

/** Addresses of every kind: mapped ones, those around the ends of ranges, and any. */
export function addressesOf(dump: Dump, space: Awaited<ReturnType<typeof findAddressSpace>>): string[] {
  const random = new Random(1);
  const found = new Set<bigint>();
  const ranges = [...mappedRanges(space.paging, dump.memory, space.root)];
  for (const { va, byteLength } of ranges) {
    for (const at of [va - 1n, va, va + BigInt(byteLength) - 1n, va + BigInt(byteLength)]) found.add(at);
  }
  const large = ranges.filter(({ pageSize }) => pageSize > PAGE);
  const half = 1n << BigInt(space.paging.mode.vaBits - 1);
  while (found.size < COUNT * 0.8) {
    const { va, byteLength } = random.pick(random.oneIn(3) ? large : ranges);
    found.add(va + (random.u64() % BigInt(byteLength)));
  }
  while (found.size < COUNT) {
    const low = random.u64() % half;
    found.add(random.oneIn(2) ? low : BigInt.asUintN(64, low - half));
  }
  const canonical = (va: bigint) => va >= 0n && (va < half || va >= 2n ** 64n - half) && va < 2n ** 64n;
  return [...found].filter(canonical).slice(0, COUNT).map(hex);
}

export async function registersOf(dumpPath: string, vcpu: number) {
  const dump = await openDump(dumpPath);
  try {
    return dump.registers!.readRegisters(vcpu);
  } finally {
    await dump.close();
  }
}
