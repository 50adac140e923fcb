/**
 * Checkpoints of VMware: of a .vmss or .vmsn the regions of memory and the registers, and the memory itself, in the same file or in the
 * .vmem beside it. Given the .vmem, the file beside it is looked for.
 */
import { existsSync } from 'node:fs';
import { PAGE_BYTES } from '../../../core/address/pa.ts';
import type { RamRegion } from '../../ramfile/index.ts';
import { corrupt, type DumpBytes, hasBytes, readPart, readU64 } from '../dump-bytes.ts';
import { DumpRegions } from '../dump-regions.ts';
import { FileBytes } from '../file-bytes.ts';
import type { DumpFormat, OpenedFormat } from '../format.ts';
import type { CpuState } from '../notes/qemu-cpu-state.ts';
import { isCheckpoint, type Tag, tagsOf } from './checkpoint-tags.ts';

const MAX_REGIONS = 1024;
const MAX_CPUS = 4096;
const WORD = 2 ** 32;

export const vmwareFormat: DumpFormat = {
  name: 'vmware',
  recognises: isCheckpoint,
  open: async (bytes) => openCheckpoint(bytes),
};

/** What is beside a .vmem, if it is a checkpoint; undefined for anything else. */
export function openVmem(memory: DumpBytes): OpenedFormat | undefined {
  const stem = /^(.*)\.vmem$/i.exec(memory.name)?.[1];
  const path = ['.vmss', '.vmsn'].map((end) => `${stem}${end}`).find((each) => stem !== undefined && existsSync(each));
  if (path === undefined) return undefined;
  const checkpoint = new FileBytes(path);
  try {
    const head = readPart(checkpoint, 0, Math.min(16, checkpoint.byteLength), 'the header of a checkpoint');
    return isCheckpoint(head) ? openCheckpoint(checkpoint, memory) : undefined;
  } finally {
    checkpoint.close();
  }
}

/** @param memory the .vmem, where it is known */
function openCheckpoint(checkpoint: DumpBytes, memory?: DumpBytes): OpenedFormat {
  const regions: { pa?: number; position?: number; byteLength?: number }[] = [];
  const cpus = new VmwareCpus(checkpoint);
  let block: Tag | undefined;
  for (const tag of tagsOf(checkpoint, ['memory', 'cpu'])) {
    if (tag.group === 'cpu') cpus.add(tag);
    else if (tag.name === 'Memory' && tag.byteLength >= PAGE_BYTES) block = tag;
    else addRegion(checkpoint, regions, tag);
  }
  if (block?.isCompressed === true) {
    throw corrupt(
      checkpoint.name,
      block.position,
      'its memory is compressed: suspend it with mainMem.useNamedFile = TRUE',
    );
  }
  const inside = memory === undefined ? block : undefined;
  const source = inside !== undefined ? checkpoint : (memory ?? memoryBeside(checkpoint));
  const start = inside?.position ?? 0;
  const byteLength = inside?.byteLength ?? source.byteLength;
  const placed = new DumpRegions(source.name);
  for (const { pa, position, byteLength: size } of plain(regions, byteLength)) {
    placed.add({ pa, byteLength: size, position: start + position }, start, source.byteLength);
  }
  const where = inside !== undefined ? 'memory in it' : `memory in ${source.name}`;
  const list = placed.list();
  return {
    description: `checkpoint of VMware ${checkpoint.name}, ${where}`,
    parts: [{ source, regions: list }],
    notes: cpus.notes,
    missing: placed.missing,
    warnings: placed.warnings,
  };
}

function memoryBeside(checkpoint: DumpBytes): DumpBytes {
  const path = `${checkpoint.name.replace(/\.vms[sn]$/i, '')}.vmem`;
  if (existsSync(path)) return new FileBytes(path);
  throw corrupt(checkpoint.name, 0, `its memory is not in it: put the .vmem of the same name (${path}) beside it`);
}

/** The regions that are complete; without any, memory is one from address 0 on. */
function plain(
  regions: readonly { readonly pa?: number; readonly position?: number; readonly byteLength?: number }[],
  byteLength: number,
): RamRegion[] {
  const found = regions.flatMap(({ pa, position, byteLength: size }) =>
    pa !== undefined && position !== undefined && size !== undefined ? [{ pa, position, byteLength: size }] : [],
  );
  return found.length > 0 ? found : [{ pa: 0, position: 0, byteLength }];
}

function addRegion(
  bytes: DumpBytes,
  regions: { pa?: number; position?: number; byteLength?: number }[],
  tag: Tag,
): void {
  const field = { regionPPN: 'pa', regionPageNum: 'position', regionSize: 'byteLength' }[tag.name];
  const [index] = tag.indices;
  if (field === undefined || index === undefined || index >= MAX_REGIONS) return;
  const value = numberOf(bytes, tag);
  if (value !== undefined) (regions[index] ??= {})[field as 'pa'] = value * PAGE_BYTES;
}

/** The registers, tag by tag. */
class VmwareCpus {
  readonly #bytes: DumpBytes;
  readonly #cpus: { control: bigint[]; isHigh: boolean }[] = [];

  constructor(bytes: DumpBytes) {
    this.#bytes = bytes;
  }

  add(tag: Tag): void {
    const [index, field] = tag.indices;
    if (index === undefined || index >= MAX_CPUS) return;
    const cpu = (this.#cpus[index] ??= { control: [], isHigh: false });
    if (tag.name === 'CR64' && field === undefined) {
      for (let register = 0; register < 5 && (register + 1) * 8 <= tag.byteLength; register++) {
        const value = this.#u64(tag.position + register * 8);
        if (value !== undefined) cpu.control[register] = value;
      }
    } else if (tag.name === 'CR64' && field !== undefined && field < 5 && tag.byteLength === 8) {
      const value = this.#u64(tag.position);
      if (value !== undefined) cpu.control[field] = value;
    } else if (tag.name === 'rip' && tag.byteLength === 8) {
      if ((this.#u64(tag.position) ?? 0n) >= WORD) cpu.isHigh = true;
    } else if (tag.name === 'IDTR' && tag.byteLength >= 10) {
      if ((this.#u64(tag.position + 2) ?? 0n) >= WORD) cpu.isHigh = true;
    } else if (tag.name === 'IDTR' && field === 2 && tag.byteLength === 4) {
      if ((numberOf(this.#bytes, tag) ?? 0) > 0) cpu.isHigh = true;
    }
  }

  /** In IA-32e mode code and the IDT of a system lie in the upper half; where nothing lies there, the mode is unknown. */
  get notes(): { readonly cpus: readonly CpuState[]; readonly isLongMode?: boolean } {
    const cpus = [...this.#cpus].flatMap((cpu) => {
      const [cr0, , , cr3, cr4] = cpu?.control ?? [];
      return cr0 !== undefined && cr3 !== undefined && cr4 !== undefined ? [{ cr0, cr3, cr4 }] : [];
    });
    return { cpus, ...(this.#cpus.some(({ isHigh }) => isHigh) && { isLongMode: true }) };
  }

  #u64(position: number): bigint | undefined {
    if (!hasBytes(this.#bytes, position, 8)) return undefined;
    return readPart(this.#bytes, position, 8, 'a register').readBigUInt64LE();
  }
}

function numberOf(bytes: DumpBytes, { position, byteLength }: Tag): number | undefined {
  if ((byteLength !== 4 && byteLength !== 8) || !hasBytes(bytes, position, byteLength)) return undefined;
  const value = readPart(bytes, position, byteLength, 'a value');
  return byteLength === 4 ? value.readUInt32LE() : readU64(value, 0);
}
