import type { LinuxKernel } from '../kernel/kernel.ts';
import type { KernelModule } from '../symbols/modules.ts';
import type { SymbolTable } from '../symbols/symbol-table.ts';

/** A part of the kernel's half, by what the kernel uses it for. */
export interface KernelArea {
  readonly start: bigint;
  /** Exclusive; 2^64 at the end of everything. */
  readonly end: bigint;
  /** `direct map`, `vmalloc`, `kernel text`, `module zram`. */
  readonly name: string;
}

export interface AreaSource {
  readonly kernel: LinuxKernel;
  /** Undefined where the kernel has none. */
  readonly symbols: SymbolTable | undefined;
  readonly modules: readonly KernelModule[];
}
