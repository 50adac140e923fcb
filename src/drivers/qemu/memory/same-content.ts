/** Whether a file holds the RAM of the guest that QEMU runs: by its path alone it may be another guest's, or one of before. */
import type { PositionedMemory } from '../../ramfile/index.ts';
import type { QmpClient } from '../qmp/index.ts';

const PROBES = 48;
const PROBE_BYTES = 64;
/** A guest that runs may write between the two reads of a probe. */
const TRIES = 3;

/**
 * Compares samples with what QEMU reads. Zeros prove nothing; of the rest, a guest that runs may change some.
 *
 * @throws as `QmpClient.humanMonitor`, and as reading `memory` does
 */
export async function holdsGuest(qmp: QmpClient, memory: PositionedMemory): Promise<boolean> {
  const seen = await Promise.all(probesIn(memory).map((pa) => compareAt(qmp, memory, pa)));
  const differing = seen.filter((outcome) => outcome === 'different').length;
  return differing === 0 || differing <= seen.filter((outcome) => outcome === 'same').length;
}

/** The beginning of RAM, where firmware and real mode have their tables, and places all over it. */
function probesIn({ regions }: PositionedMemory): number[] {
  const total = regions.reduce((sum, { byteLength }) => sum + byteLength, 0);
  return regions.flatMap(({ pa, byteLength }) => {
    const count = Math.max(1, Math.round((PROBES * byteLength) / total));
    return Array.from({ length: count }, (_, at) => pa + Math.floor((byteLength * at) / count / 4096) * 4096);
  });
}

async function compareAt(
  qmp: QmpClient,
  memory: PositionedMemory,
  pa: number,
): Promise<'zeros' | 'same' | 'different'> {
  for (let left = TRIES; left > 0; left--) {
    const printed = await qmp.humanMonitor(`xp /${PROBE_BYTES}bx 0x${pa.toString(16)}`);
    const theirs = [...printed.matchAll(/\b0x([\da-f]{2})\b/g)].map((match) => Number.parseInt(match[1]!, 16));
    const ours = memory.readBytes(pa, PROBE_BYTES);
    if (ours !== undefined && Buffer.from(theirs).equals(ours)) return theirs.some(Boolean) ? 'same' : 'zeros';
  }
  return 'different';
}
