/** Looks through the kernel's image, once, for everything that is known by what it begins with. */
import { BTF_FIRST_WORD } from '../btf/header.ts';
import { attempt } from '../memory/guest-fault.ts';
import type { KernelMemory } from '../memory/kernel-memory.ts';
import type { StepRunner } from '../memory/steps.ts';
import { buildIdNotes } from './build-id.ts';
import { placesOf } from './chunk.ts';
import type { ImagePiece } from './find-image.ts';
import { idleNames } from './init-task.ts';
import { type KernelEntries, kernelRoots } from './kernel-root.ts';

/** Read at a time, and fetched at a time where memory is remote. */
const CHUNK_BYTES = 1 << 18;
/** Of each kind: a memory made to mislead has no more. */
const MAX_TRACES = 256;
/** VSYSCALL_ADDR (arch/x86/include/uapi/asm/vsyscall.h) and the end of its page. */
const VSYSCALL_BOUNDS = [0xff600000, 0xffffffff, 0xff601000, 0xffffffff];

/** Addresses where something may be. */
export interface Traces {
  readonly btf: readonly bigint[];
  /** Notes with a build id. */
  readonly notes: readonly bigint[];
  /** Names of idle tasks. */
  readonly names: readonly bigint[];
  /** Tables that may be the kernel's own top-level one. */
  readonly roots: readonly bigint[];
  /** The bounds of the page of old system calls, one after the other. */
  readonly gates: readonly bigint[];
}

export interface ScanPlan {
  readonly image: readonly ImagePiece[];
  readonly memory: KernelMemory;
  readonly entries: KernelEntries;
  readonly runner: StepRunner;
}

export async function scanImage({ image, memory, entries, runner }: ScanPlan): Promise<Traces> {
  const traces: Record<keyof Traces, bigint[]> = { btf: [], notes: [], names: [], roots: [], gates: [] };
  const add = (list: bigint[], found: readonly bigint[]) => {
    for (const at of found.slice(0, MAX_TRACES - list.length)) list.push(at);
  };
  for (const piece of image) {
    for (let at = 0; at < piece.byteLength; at += CHUNK_BYTES) {
      const va = piece.va + BigInt(at);
      const byteLength = Math.min(CHUNK_BYTES, piece.byteLength - at);
      const bytes = await runner.once(() => attempt(() => memory.bytes(va, byteLength)));
      if (bytes === undefined) continue;
      const chunk = { va, words: new Uint32Array(bytes.buffer, 0, byteLength / 4) };
      add(traces.btf, placesOf(chunk, [BTF_FIRST_WORD]));
      add(traces.notes, buildIdNotes(chunk));
      add(traces.names, idleNames(chunk));
      add(traces.roots, kernelRoots(chunk, entries));
      add(traces.gates, placesOf(chunk, VSYSCALL_BOUNDS));
    }
  }
  return traces;
}
