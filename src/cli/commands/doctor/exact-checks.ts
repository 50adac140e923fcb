/** Checks whether watchpoints on the kernel's writable mapping of its page tables can trap writes to them. */
import { gfnOf } from '../../../core/address/pa.ts';
import { hex } from '../../../core/address/va.ts';
import { rootOf } from '../../../core/paging/format.ts';
import type { GdbClient } from '../../../drivers/qemu/index.ts';
import { WritableAliases } from '../../../drivers/qemu/exact/aliases/writable-aliases.ts';
import { pagingOf } from '../../../driver/paging.ts';
import { retry } from '../../../driver/retry.ts';
import type { GuestMemory } from '../../../drivers/qemu/memory/index.ts';
import { type Check, failedBy } from './checks.ts';
import { TCG_FLAG } from './flags.ts';
import { readAllRegisters, vcpusOf } from './gdb-checks.ts';

/** How long the guest may run, in short steps, until a vCPU has the kernel's own address space loaded. */
const SEARCH_MS = 3000;
const MAX_STEP_MS = 5;

/** One more than x86 has debug registers: SDM vol. 3B, "Debug registers". */
const PROBES = 5;

/** How long the guest may run until a watchpoint on its stack stops it: an idle one takes the timer's interrupt. */
const TRIAL_MS = 2000;
const STACK_OFFSETS = [0x8n, 0x48n, 0x88n, 0x108n];

export interface ExactPlaces {
  readonly gdb: GdbClient;
  readonly memory: GuestMemory;
  /** MAXPHYADDR, if QEMU reports it. */
  readonly physicalAddressBits: number | undefined;
  /** The guest ran before, so it may run in between. */
  readonly mayRun: boolean;
  readonly signal: AbortSignal;
}

export async function checkExact(places: ExactPlaces): Promise<readonly Check[]> {
  let alias: bigint | undefined;
  const checks: Check[] = [];
  try {
    const found = await findKernelRoot(places);
    alias = found?.alias;
    checks.push(aliasCheck(found));
  } catch (error) {
    checks.push(failedBy('aliases', error));
  }
  checks.push(await checkWatchpoints(places, alias ?? 0n));
  return checks;
}

interface KernelRoot {
  readonly vcpu: number;
  readonly root: number;
  /** Where that root maps its own table so that the guest can write to it. */
  readonly alias: bigint;
}

/** With page-table isolation, a vCPU in user mode has loaded a root that maps little of the kernel. */
async function findKernelRoot(places: ExactPlaces): Promise<KernelRoot | undefined> {
  const { gdb, memory, physicalAddressBits, mayRun, signal } = places;
  const deadline = performance.now() + SEARCH_MS;
  for (let round = 0; ; round++) {
    const registers = await readAllRegisters(gdb, physicalAddressBits);
    for (const vcpu of vcpusOf(registers)) {
      const paging = pagingOf(registers, vcpu);
      if (paging === undefined) continue;
      const { cr0, cr3 } = registers.readRegisters(vcpu);
      const root = rootOf(paging, cr3);
      const { remote } = memory;
      const aliases = await retry(() => WritableAliases.of(paging, memory.memory, { root, cr0 }, signal), {
        remote,
        signal,
      });
      const [alias] = aliases.find(gfnOf(root));
      if (alias !== undefined && aliases.isComplete) return { vcpu, root, alias };
    }
    if (!mayRun || performance.now() > deadline) return undefined;
    await gdb.continue({ signal: AbortSignal.any([signal, AbortSignal.timeout(1 + (round % MAX_STEP_MS))]) });
    signal.throwIfAborted();
    memory.clear();
  }
}

function aliasCheck(found: KernelRoot | undefined): Check {
  if (found !== undefined) {
    const { vcpu, root, alias } = found;
    const detail = `the guest can write to root ${hex(root)} of vCPU ${vcpu} at ${hex(alias)}`;
    return { name: 'aliases', outcome: 'ok', detail };
  }
  const detail =
    'no vCPU had a root loaded that maps its own page tables writable, so writes to them cannot be trapped';
  return {
    name: 'aliases',
    outcome: 'failed',
    detail,
    remedy: 'try again while the guest is busy, or use --mode sample',
  };
}

/** Sets more watchpoints than a processor has, and clears them again. Those of a processor must also stop the guest. */
async function checkWatchpoints(places: ExactPlaces, at: bigint): Promise<Check> {
  const { gdb, mayRun } = places;
  const probes = Array.from({ length: PROBES }, (_, index) => ({ va: at + BigInt(index * 8), byteLength: 8 }));
  try {
    const refused = await gdb.setWriteWatches(probes);
    await gdb.clearWriteWatches(probes);
    if (refused.length === 0)
      return { name: 'watchpoints', outcome: 'ok', detail: 'QEMU accepts any number, as TCG does' };
    const accepted = PROBES - refused.length;
    const count = `${accepted}, the debug registers of the processor, for --mode exact of one address`;
    if (!mayRun)
      return { name: 'watchpoints', outcome: 'ok', detail: `${count}; not tried, since the guest does not run` };
    if (await stopsTheGuest(places)) {
      return { name: 'watchpoints', outcome: 'ok', detail: `${count}; they stop the guest` };
    }
    const detail = `QEMU accepts ${accepted} watchpoints, but none of them stopped the guest at a write to its stack within ${TRIAL_MS / 1000} s`;
    return { name: 'watchpoints', outcome: 'failed', detail, remedy: `${TCG_FLAG}, or --mode sample` };
  } catch (error) {
    return failedBy('watchpoints', error);
  }
}

/**
 * Whether a watchpoint stops the guest. Some hosts accept debug registers and lose them: nested ones, for example.
 *
 * What is about to be written is the memory below the stack pointer, in the kernel and in a program alike: at the next call, or by the
 * next interrupt. The places are apart from each other, as what is pushed differs.
 */
async function stopsTheGuest({ gdb, signal, memory }: ExactPlaces): Promise<boolean> {
  const stack = (await gdb.readRegisters()).values.get('rsp');
  if (stack === undefined) return false;
  const watches = STACK_OFFSETS.map((offset) => ({ va: (stack & ~0xfn) - offset, byteLength: 8 }));
  try {
    await gdb.setWriteWatches(watches);
    const reply = await gdb.continue({ signal: AbortSignal.any([signal, AbortSignal.timeout(TRIAL_MS)]) });
    signal.throwIfAborted();
    return reply.kind === 'stopped' && reply.watch !== undefined;
  } finally {
    await gdb.clearWriteWatches(watches);
    memory.clear();
  }
}
