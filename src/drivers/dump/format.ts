/** What a format of dumps is: recognised by its first bytes, and opened as pieces of memory and what is known besides. */
import type { LongWorkOptions } from '../../driver/pacer.ts';
import type { KernelRoot, MemoryRegion } from '../../driver/snapshot.ts';
import type { MemoryPart } from '../ramfile/index.ts';
import type { DumpBytes } from './dump-bytes.ts';
import type { DumpNotes } from './notes/notes.ts';

export type DumpFormatName = 'elf' | 'kdump' | 'lime' | 'avml' | 'migration' | 'vmware' | 'windows' | 'raw';

export interface OpenedFormat {
  /** Human-readable. */
  readonly description: string;
  readonly parts: readonly MemoryPart[];
  readonly notes: DumpNotes;
  /** The kernel's own top-level table, where the file names it. */
  readonly kernelRoot?: KernelRoot;
  /** Memory that the file says it has, and that is behind its end. */
  readonly missing?: readonly MemoryRegion[];
  /** As `Snapshot.isLeftOut`. */
  readonly isLeftOut?: (pa: number) => boolean;
  /** What is missing or odd, a sentence each. */
  readonly warnings?: readonly string[];
}

export interface DumpFormat {
  readonly name: DumpFormatName;
  /** @param head the first 4096 bytes, or all that there are */
  recognises(head: Buffer): boolean;
  /** @throws PtmonError `corrupt-input` naming the file and the offset; the reason of the signal when it is aborted */
  open(bytes: DumpBytes, options: LongWorkOptions): Promise<OpenedFormat>;
}
