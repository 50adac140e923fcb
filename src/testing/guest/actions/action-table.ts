/** Everything that the guest may do, and how often. */
import type { Random } from '../../random.ts';
import type { KernelAction, ProcessAction } from './action-kind.ts';
import { slab, splitDirectMap, vfree, vmalloc } from './kernel-mappings.ts';
import { collapseSmallPages, splitSomeLargePage } from './large.ts';
import { madvise, mmap, mprotect, mremap, munmap } from './mapping.ts';
import { exec, exit, fork, spawn } from './process-life.ts';
import { migrate, reclaim, swapOut } from './reclaim.ts';
import { touchMemory } from './touch.ts';

const PROCESS_ACTIONS: readonly ProcessAction[] = [
  touchMemory,
  mmap,
  munmap,
  madvise,
  mprotect,
  mremap,
  swapOut,
  migrate,
  collapseSmallPages,
  splitSomeLargePage,
  fork,
  exec,
  exit,
];

const KERNEL_ACTIONS: readonly KernelAction[] = [spawn, vmalloc, vfree, slab, splitDirectMap, reclaim];

/** One of the two. */
export interface Choice {
  readonly process?: ProcessAction;
  readonly kernel?: KernelAction;
}

const CHOICES: readonly (readonly [weight: number, choice: Choice])[] = [
  ...PROCESS_ACTIONS.map((process) => [process.weight, { process }] as const),
  ...KERNEL_ACTIONS.map((kernel) => [kernel.weight, { kernel }] as const),
];

const TOTAL = CHOICES.reduce((sum, [weight]) => sum + weight, 0);

export class ActionTable {
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  /** One of all actions, as often as its weight says. */
  pick(): Choice {
    let ticket = this.#random.below(TOTAL);
    for (const [weight, choice] of CHOICES) {
      ticket -= weight;
      if (ticket < 0) return choice;
    }
    throw new Error('unreachable: the weights add up');
  }
}
