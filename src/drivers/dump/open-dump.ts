/** Opens a dump, whatever its format: recognised by what is in the file, never by its name. */
import type { LongWorkOptions } from '../../driver/pacer.ts';
import type { Snapshot } from '../../driver/snapshot.ts';
import { PtmonError } from '../../core/error.ts';
import { PositionedMemory } from '../ramfile/index.ts';
import type { DumpBytes } from './dump-bytes.ts';
import { elfFormat } from './elf/elf-format.ts';
import { FileBytes } from './file-bytes.ts';
import { FlattenedBytes, isFlattened } from './flattened/flattened-bytes.ts';
import type { DumpFormat, DumpFormatName, OpenedFormat } from './format.ts';
import { kdumpFormat } from './kdump/kdump-format.ts';
import { limeFormat } from './lime/lime-format.ts';
import { migrationFormat } from './migration/migration-format.ts';
import { avmlFormat } from './lime/avml-format.ts';
import { openVmem, vmwareFormat } from './vmware/vmware-format.ts';
import { windowsFormat } from './windows/windows-format.ts';
import { isQcow2 } from './qcow2/qcow2-header.ts';
import { SnapshotState } from './qcow2/snapshot-state.ts';
import { registersFrom } from './notes/registers.ts';
import { kernelRootFrom } from './notes/vmcoreinfo.ts';
import { openRaw } from './raw/raw-format.ts';
import { ZeroBytes } from './zero-bytes.ts';

const FORMATS: readonly DumpFormat[] = [
  elfFormat,
  kdumpFormat,
  limeFormat,
  avmlFormat,
  migrationFormat,
  vmwareFormat,
  windowsFormat,
];
const HEAD_BYTES = 4096;

export interface DumpOptions extends LongWorkOptions {
  /** Where RAM lies in a file of raw memory, as `0x0+3G@0,0x100000000+1G@3G`; defaults to one region from address 0 on. */
  readonly ramMap?: string;
  /** Pages held at most; defaults to 4096 (16 MiB). */
  readonly maxPages?: number;
}

/** A dump, until `close`. */
export interface Dump extends Snapshot {
  readonly format: DumpFormatName;
  /** Whether the file is in makedumpfile's flattened format, which holds another one. */
  readonly isFlattened: boolean;
  /** Bytes as they are in the dump, of any length; undefined where any of them is not in it. @throws PtmonError */
  readBytes(pa: number, byteLength: number): Uint8Array | undefined;
}

/**
 * Opens a dump by its path. Nothing but its headers and, for kdumps, a count of their pages is read before it is needed.
 *
 * @throws PtmonError `source-unavailable` for a file that cannot be read; `corrupt-input` for one that is not what it says, naming
 *   the offset; `bad-argument` for a map of RAM that does not fit; the reason of the signal when it is aborted
 */
export async function openDump(path: string, options: DumpOptions = {}): Promise<Dump> {
  const file = new FileBytes(path);
  try {
    const head = headOf(file);
    const flattened = isFlattened(head);
    const state = isQcow2(head) && options.ramMap === undefined ? SnapshotState.open(file) : undefined;
    const bytes: DumpBytes = flattened ? await FlattenedBytes.open(file, head, options) : (state ?? file);
    const { name, opened } = await openFormat(bytes, options);
    const inside = state === undefined ? '' : `snapshot ${JSON.stringify(state.snapshotName)} of a qcow2 image, `;
    const memory = new PositionedMemory(opened.parts, {
      ...(options.maxPages !== undefined && { maxPages: options.maxPages }),
    });
    const registers = registersFrom(opened.notes);
    const zeroes = opened.parts.flatMap(({ source, regions }) => (source instanceof ZeroBytes ? regions : []));
    const warnings = [...(bytes.warnings ?? []), ...(opened.warnings ?? [])];
    const { vmcoreinfo } = opened.notes;
    const kernelRoot = opened.kernelRoot ?? (vmcoreinfo === undefined ? undefined : kernelRootFrom(vmcoreinfo));
    return {
      format: name,
      isFlattened: flattened,
      description: `${path}: ${inside}${flattened ? 'flattened ' : ''}${opened.description}; ${cpusIn(registers?.vcpuCount)}`,
      ...(warnings.length > 0 && { warnings }),
      memory,
      regions: memory.regions.map(({ pa, byteLength }) => ({ pa, byteLength })),
      ...(opened.isLeftOut !== undefined && { isLeftOut: opened.isLeftOut }),
      ...(zeroes.length > 0 && { zeroes }),
      ...(opened.missing !== undefined && opened.missing.length > 0 && { missing: opened.missing }),
      ...(name === 'raw' && options.ramMap === undefined && { rawBytes: bytes.byteLength }),
      ...(registers !== undefined && { registers }),
      ...(kernelRoot !== undefined && { kernelRoot }),
      readBytes: (pa, byteLength) => memory.readBytes(pa, byteLength),
      close: async () => {
        memory.close();
        file.close();
      },
    };
  } catch (error) {
    file.close();
    throw error;
  }
}

async function openFormat(
  bytes: DumpBytes,
  options: DumpOptions,
): Promise<{ readonly name: DumpFormatName; readonly opened: OpenedFormat }> {
  const head = headOf(bytes);
  const format = FORMATS.find((candidate) => candidate.recognises(head));
  if (format === undefined) {
    const checkpoint = options.ramMap === undefined ? openVmem(bytes) : undefined;
    if (checkpoint !== undefined) return { name: 'vmware', opened: checkpoint };
    return { name: 'raw', opened: openRaw(bytes, options.ramMap) };
  }
  if (options.ramMap !== undefined) {
    throw new PtmonError(
      'bad-argument',
      `${bytes.name}: the format, ${format.name}, says where memory is: drop the map of RAM`,
    );
  }
  return { name: format.name, opened: await format.open(bytes, options) };
}

function headOf(bytes: DumpBytes): Buffer {
  const head = Buffer.alloc(Math.min(HEAD_BYTES, bytes.byteLength));
  bytes.read(head, 0);
  return head;
}

function cpusIn(count: number | undefined): string {
  if (count === undefined) return 'no registers';
  return `${count} ${count === 1 ? 'vCPU' : 'vCPUs'}`;
}
