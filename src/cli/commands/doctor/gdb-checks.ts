/** Checks the gdbstub: registers, and the paging that they select. */
import { hex } from '../../../core/address/va.ts';
import type { GdbClient, GdbRegisters, ThreadId } from '../../../drivers/qemu/index.ts';
import type { GdbVisit } from '../../../drivers/qemu/gdb/index.ts';
import { type GuardedVisitOptions, visitGuarded } from '../../../drivers/qemu/release/guarded-visit.ts';
import type { RegisterAccess } from '../../../driver/driver.ts';
import { knownRegisters } from '../../../driver/known-registers.ts';
import { pagingOf } from '../../../driver/paging.ts';
import { type Check, failedBy, skipped } from './checks.ts';
import { gdbFlag, gdbMonitorCommand } from './flags.ts';

export interface GdbFindings {
  readonly checks: readonly Check[];
  /** Undefined if the gdbstub does not answer. */
  readonly visit?: GdbVisit;
}

export const NO_GDB: readonly Check[] = (['registers', 'paging'] as const).map((name) =>
  skipped(name, 'only the gdbstub reports it'),
);

export function gdbNotGiven(): Check {
  const remedy = `${gdbFlag()}, or in the monitor of a running QEMU: ${gdbMonitorCommand()}`;
  return { name: 'gdb', outcome: 'missing', detail: 'no --gdb given; --mode exact needs it', remedy };
}

/** The guest is stopped from then on, until the visit ends. */
export async function checkGdb(address: string, options: GuardedVisitOptions): Promise<GdbFindings> {
  let visit: GdbVisit;
  try {
    visit = await visitGuarded(address, options);
  } catch (error) {
    const remedy = `${gdbFlag(address)}, or in the monitor of a running QEMU: ${gdbMonitorCommand(address)}`;
    return { checks: [failedBy('gdb', error, remedy), ...NO_GDB] };
  }
  const checks: Check[] = [{ name: 'gdb', outcome: 'ok', detail: `${visit.gdb.address} answers` }];
  try {
    const registers = await readAllRegisters(visit.gdb);
    const cr3s = vcpusOf(registers).map((vcpu) => `vCPU ${vcpu}: ${hex(registers.readRegisters(vcpu).cr3)}`);
    checks.push({ name: 'registers', outcome: 'ok', detail: `CR3 of ${cr3s.join(', ')}` }, pagingCheck(registers));
  } catch (error) {
    checks.push(failedBy('registers', error), skipped('paging', 'needs the registers'));
  }
  return { checks, visit };
}

/** The registers of all vCPUs, as they are now. */
export async function readAllRegisters(gdb: GdbClient, physicalAddressBits?: number): Promise<RegisterAccess> {
  const all: GdbRegisters[] = [];
  const threads: readonly ThreadId[] = await gdb.threads();
  for (const thread of threads) all.push(await gdb.readRegisters(thread));
  return knownRegisters('guest', all, physicalAddressBits);
}

export function vcpusOf({ vcpuCount }: RegisterAccess): number[] {
  return Array.from({ length: vcpuCount }, (_, vcpu) => vcpu);
}

function pagingCheck(registers: RegisterAccess): Check {
  const modes = vcpusOf(registers).map((vcpu) => pagingOf(registers, vcpu)?.mode.name ?? 'off');
  const names = [...new Set(modes)];
  const detail = names.length === 1 ? names[0]! : modes.map((mode, vcpu) => `vCPU ${vcpu}: ${mode}`).join(', ');
  if (names.some((name) => name !== 'off')) return { name: 'paging', outcome: 'ok', detail };
  const why = 'off: the guest has no page tables yet, as at the start of its firmware';
  return { name: 'paging', outcome: 'missing', detail: why, remedy: 'let the guest boot' };
}
