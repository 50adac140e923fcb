/**
 * ELF cores of Xen's `xl dump-core` (xen, docs/misc/dump-core-format.txt): no segments, but sections. The pages are in `.xen_pages`; page n
 * is the frame that entry n of `.xen_pfn` names (HVM), or that of `.xen_p2m` (PV, pairs of pfn and machine frame). Page tables of PV
 * guests name machine frames: these are the physical addresses here.
 */
import { PAGE_BYTES } from '../../../core/address/pa.ts';
import { type LongWorkOptions, Pacer } from '../../../driver/pacer.ts';
import { corrupt, type DumpBytes, hasBytes, readPart, readU64 } from '../dump-bytes.ts';
import { DumpRegions } from '../dump-regions.ts';
import type { OpenedFormat } from '../format.ts';
import type { CpuState } from '../notes/qemu-cpu-state.ts';

const SECTION_BYTES = 64;
const MAX_SECTIONS = 64;
const MAX_NAMES_BYTES = 4096;
const ENTRIES_AT_ONCE = 4096;
const MAX_CPUS = 4096;

/** `vcpu_guest_context` of x86-64 (xen, public/arch-x86/xen.h): its size, and where rip and the control registers are. */
const CONTEXT_BYTES = 5168;
const RIP = 648;
const CONTROL_REGISTERS = 4984;
/** `vcpu_guest_context` of PV guests with 32 bits. */
const CONTEXT_BYTES_32 = 2800;

interface Section {
  readonly position: number;
  readonly byteLength: number;
}

/** The sections by their names, of a file that has those of Xen; undefined for any other. */
export function xenSections(bytes: DumpBytes): ReadonlyMap<string, Section> | undefined {
  if (!hasBytes(bytes, 0, 64)) return undefined;
  const header = readPart(bytes, 0, 64, 'the ELF header');
  const [table, count, names] = [readU64(header, 40), header.readUInt16LE(60), header.readUInt16LE(62)];
  if (header[4] !== 2 || header.readUInt16LE(58) !== SECTION_BYTES || count > MAX_SECTIONS || names >= count)
    return undefined;
  if (!hasBytes(bytes, table, count * SECTION_BYTES)) return undefined;
  const headers = readPart(bytes, table, count * SECTION_BYTES, 'the section headers');
  const sectionAt = (index: number): Section => ({
    position: readU64(headers, index * SECTION_BYTES + 24),
    byteLength: readU64(headers, index * SECTION_BYTES + 32),
  });
  const strings = sectionAt(names);
  if (strings.byteLength > MAX_NAMES_BYTES || !hasBytes(bytes, strings.position, strings.byteLength)) return undefined;
  const text = readPart(bytes, strings.position, strings.byteLength, 'the names of sections').toString('latin1');
  const sections = new Map<string, Section>();
  for (let index = 0; index < count; index++) {
    const [name = ''] = text.slice(headers.readUInt32LE(index * SECTION_BYTES)).split('\0');
    sections.set(name, sectionAt(index));
  }
  return sections.has('.xen_pages') ? sections : undefined;
}

/** @throws PtmonError `corrupt-input`; the reason of the signal when it is aborted */
export async function openXenCore(
  bytes: DumpBytes,
  sections: ReadonlyMap<string, Section>,
  options: LongWorkOptions,
): Promise<OpenedFormat> {
  const pages = sections.get('.xen_pages')!;
  const [pfns, p2m] = [sections.get('.xen_pfn'), sections.get('.xen_p2m')];
  const table = pfns ?? p2m;
  if (table === undefined) throw corrupt(bytes.name, 0, 'nothing says which frames its pages are (.xen_pfn, .xen_p2m)');
  const entryBytes = pfns === undefined ? 16 : 8;
  const regions = new DumpRegions(bytes.name);
  const pacer = new Pacer(options);
  const count = Math.floor(Math.min(table.byteLength, bytes.byteLength) / entryBytes);
  for (let first = 0; first < count; first += ENTRIES_AT_ONCE) {
    if (pacer.isDue) await pacer.turn({ what: 'counting pages', done: first, total: count, unit: 'pages' });
    const at = table.position + first * entryBytes;
    const entries = readPart(
      bytes,
      at,
      Math.min(ENTRIES_AT_ONCE, count - first) * entryBytes,
      'the frames of its pages',
    );
    for (let entry = 0; entry < entries.length; entry += entryBytes) {
      // The last 8 bytes: the frame of .xen_pfn, the machine frame of .xen_p2m; all ones for none.
      const frame = entries.readBigUInt64LE(entry + entryBytes - 8);
      if (frame >= 2n ** 40n) continue;
      const position = pages.position + (first + entry / entryBytes) * PAGE_BYTES;
      regions.add({ pa: Number(frame) * PAGE_BYTES, byteLength: PAGE_BYTES, position }, at + entry, bytes.byteLength);
    }
  }
  const cpus = cpusIn(bytes, sections.get('.xen_prstatus'));
  const list = regions.list();
  return {
    description: `core of Xen, ${pfns === undefined ? 'PV, addresses are machine addresses' : 'HVM or PVH'}`,
    parts: [{ source: bytes, regions: list }],
    notes: cpus,
    missing: regions.missing,
    warnings: regions.warnings,
  };
}

function cpusIn(
  bytes: DumpBytes,
  section: Section | undefined,
): { readonly cpus: readonly CpuState[]; readonly isLongMode?: boolean } {
  if (section === undefined || !hasBytes(bytes, section.position, section.byteLength)) return { cpus: [] };
  const { position, byteLength } = section;
  // PV guests with 32 bits have their CR3 in another order of bits; a search finds their roots.
  if (byteLength % CONTEXT_BYTES !== 0 || byteLength % CONTEXT_BYTES_32 === 0) return { cpus: [] };
  const count = Math.min(MAX_CPUS, byteLength / CONTEXT_BYTES);
  const contexts = Array.from({ length: count }, (_, index) =>
    readPart(bytes, position + index * CONTEXT_BYTES, CONTEXT_BYTES, 'the registers of a vCPU'),
  );
  const cpus = contexts.map((context): CpuState => {
    const control = (register: number) => context.readBigUInt64LE(CONTROL_REGISTERS + register * 8);
    return { cr0: control(0), cr3: control(3), cr4: control(4) };
  });
  // Code of a 64-bit system lies in the upper half.
  const isHigh = contexts.some((context) => context.readBigUInt64LE(RIP) >= 2n ** 32n);
  return { cpus, ...(isHigh && { isLongMode: true }) };
}
