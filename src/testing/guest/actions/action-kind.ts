/** What the guest can do next, and what doing it takes. */
import type { Steps } from '../../workload.ts';
import type { Cpu, Kernel } from '../kernel.ts';
import type { Process } from '../space/process.ts';

/** Something that a process does, or that is done to one. */
export interface ProcessAction {
  /** How often, relative to the others. */
  readonly weight: number;
  /** Whether it needs the process's address space for itself. */
  readonly exclusive: boolean;
  /** Frames that it takes at most, those of large pages aside. */
  frames(kernel: Kernel, process: Process): number;
  /** Chooses the details now, and returns the steps; undefined where it does not apply. */
  begin(cpu: Cpu, process: Process): Steps | undefined;
}

/** Something that the kernel does for itself, or without a process to do it to. */
export interface KernelAction {
  readonly weight: number;
  frames(kernel: Kernel): number;
  begin(cpu: Cpu): Steps | undefined;
}
