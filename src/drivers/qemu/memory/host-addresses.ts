/** Where QEMU has the guest's RAM in its own memory: the monitor's `gpa2hva`, and proc(5) `/proc/PID/maps`. */
import { PtmonError } from '../../../core/error.ts';
import type { RamRegion } from '../../ramfile/index.ts';
import type { QmpClient } from '../qmp/index.ts';
import type { RamPiece } from './memory-tree.ts';

/** Host addresses of user programs on a 64-bit system are below this; numbers are exact there. */
const HOST_LIMIT = 2 ** 47;

/**
 * Asks for the host address of each piece. A piece that has changed since the map was printed, as the firmware's do at its start, is
 * left out.
 *
 * @throws PtmonError `source-unavailable` where QEMU does not know the command, or knows no address at all
 */
export async function readHostAddresses(qmp: QmpClient, pieces: readonly RamPiece[]): Promise<readonly RamRegion[]> {
  const regions = await Promise.all(
    pieces.map(async ({ pa, byteLength, block }): Promise<RamRegion[]> => {
      const printed = await qmp.humanMonitor(`gpa2hva 0x${pa.toString(16)}`);
      const found = parseHostAddress(printed);
      if (found === 'not RAM' || (found !== undefined && found.block !== block)) return [];
      if (found !== undefined && found.position + byteLength <= HOST_LIMIT) {
        return [{ pa, byteLength, position: found.position }];
      }
      throw new PtmonError(
        'source-unavailable',
        `QEMU does not say where it has the guest's RAM: "${printed.trim().slice(0, 80)}"; the command gpa2hva needs QEMU 2.10 or newer`,
      );
    }),
  );
  if (regions.flat().length > 0) return regions.flat();
  throw new PtmonError('source-unavailable', "QEMU has no host address for any of the guest's RAM");
}

/** `Host virtual address for 0x0 (pc.ram) is 0x7fb27fe00000`; undefined where it is nothing of that kind. */
export function parseHostAddress(printed: string): { block: string; position: number } | 'not RAM' | undefined {
  const [, block, address] = /^Host virtual address for 0x[\da-f]+ \((.*)\) is 0x([\da-f]+)\s*$/.exec(printed) ?? [];
  if (block !== undefined) return { block, position: Number(`0x${address}`) };
  return /is not RAM|No memory is mapped/.test(printed) ? 'not RAM' : undefined;
}

/** Whether each region lies in memory that is mapped, by the text of a /proc/PID/maps. */
export function areMapped(regions: readonly RamRegion[], maps: string): boolean {
  const mappings = maps.split('\n').flatMap((line) => {
    const [, begin, end] = /^([\da-f]+)-([\da-f]+) r/.exec(line) ?? [];
    return begin === undefined ? [] : [{ begin: Number(`0x${begin}`), end: Number(`0x${end}`) }];
  });
  return regions.every(({ position, byteLength }) => {
    let reached = position;
    // In ascending order; a block of RAM may be several mappings, side by side.
    for (const { begin, end } of mappings) if (begin <= reached && reached < end) reached = end;
    return reached >= position + byteLength;
  });
}
