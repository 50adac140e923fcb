/**
 * The registers in a migration stream. Sections of devices have no lengths; the description that QEMU writes at the end (JSON, since 2.3)
 * says of which fields they are, in their order and with their sizes.
 */
import type { CpuState } from '../notes/qemu-cpu-state.ts';

/** What follows the RAM: some hundred KiB. */
export const MAX_DEVICE_BYTES = 2 ** 26;

const SECTION_FULL = 4;
const DESCRIPTION = 6;
/** A section's type, number, name, instance and version. */
const HEADER_BYTES = 1 + 4 + 4 + 4 + 4;

interface Field {
  readonly name?: unknown;
  readonly size?: unknown;
  readonly array_len?: unknown;
}

/** By vCPU; none where there is no description. @param devices the stream behind its RAM */
export function cpusIn(devices: Buffer): CpuState[] {
  const offsets = offsetsOf(describedFields(devices));
  if (offsets === undefined) return [];
  const found = new Map<number, CpuState>();
  const name = Buffer.from('\x03cpu', 'latin1');
  for (let at = devices.indexOf(name); at >= 0; at = devices.indexOf(name, at + 1)) {
    const start = at - 5;
    if (start < 0 || devices[start] !== SECTION_FULL || start + HEADER_BYTES + offsets.end > devices.length) continue;
    const field = (offset: number) => devices.readBigUInt64BE(start + HEADER_BYTES + offset);
    const [cr0, cr3, cr4, efer] = [offsets.cr0, offsets.cr3, offsets.cr4, offsets.efer].map(field) as [
      bigint,
      bigint,
      bigint,
      bigint,
    ];
    found.set(devices.readUInt32BE(start + 9), { cr0, cr3, cr4, efer });
  }
  return [...found].sort(([a], [b]) => a - b).map(([, state]) => state);
}

function describedFields(devices: Buffer): readonly Field[] {
  for (let at = devices.indexOf('{"'); at >= 0; at = devices.indexOf('{"', at + 1)) {
    if (at < 5 || devices[at - 5] !== DESCRIPTION) continue;
    const byteLength = devices.readUInt32BE(at - 4);
    if (at + byteLength > devices.length) continue;
    try {
      const { devices: all } = JSON.parse(devices.toString('utf8', at, at + byteLength)) as { devices?: unknown };
      const cpu = Array.isArray(all)
        ? (all as { name?: unknown; fields?: unknown }[]).find((each) => each?.name === 'cpu')
        : undefined;
      return Array.isArray(cpu?.fields) ? (cpu.fields as Field[]) : [];
    } catch {
      return [];
    }
  }
  return [];
}

interface Offsets {
  readonly cr0: number;
  readonly cr3: number;
  readonly cr4: number;
  readonly efer: number;
  readonly end: number;
}

function offsetsOf(fields: readonly Field[]): Offsets | undefined {
  const offsets = new Map<string, number>();
  let end = 0;
  for (const { name, size, array_len: count = 1 } of fields) {
    if (typeof name !== 'string' || typeof size !== 'number' || typeof count !== 'number') return undefined;
    if (!(size >= 0 && count >= 0) || !Number.isSafeInteger(end + size * count)) return undefined;
    if (!offsets.has(name)) offsets.set(name, end);
    end += size * count;
    if (name === 'env.efer') break;
  }
  const [cr0, cr3, cr4, efer] = ['env.cr[0]', 'env.cr[3]', 'env.cr[4]', 'env.efer'].map((name) => offsets.get(name));
  if (cr0 === undefined || cr3 === undefined || cr4 === undefined || efer === undefined) return undefined;
  return { cr0, cr3, cr4, efer, end };
}
