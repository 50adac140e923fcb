/** What the gdbstub answers: registers, and the paging that they switch on. */
import { hex } from '../../../core/address/va.ts';
import { type Paging, rootOf } from '../../../core/paging/format.ts';
import type { GdbClient, GdbRegisters, ThreadId } from '../../../drivers/qemu/index.ts';
import { type GdbVisit, visitGdb, type VisitOptions } from '../../../drivers/qemu/gdb/index.ts';
import { guestPaging } from '../../live/guest-paging.ts';
import { type Check, failedBy, skipped } from './checks.ts';
import { gdbFlag, gdbMonitorCommand } from './flags.ts';

export interface GdbFindings {
  readonly checks: readonly Check[];
  /** Undefined where the gdbstub does not answer. */
  readonly visit?: GdbVisit;
}

export const NO_GDB: readonly Check[] = (['registers', 'paging'] as const).map((name) =>
  skipped(name, 'only the gdbstub shows it'),
);

export function gdbNotGiven(): Check {
  const remedy = `${gdbFlag()}, or in the monitor of a QEMU that runs: ${gdbMonitorCommand()}`;
  return { name: 'gdb', outcome: 'missing', detail: 'no --gdb given; exact watching takes it', remedy };
}

/** The guest stands still from then on, until the visit ends. */
export async function checkGdb(address: string, options: VisitOptions): Promise<GdbFindings> {
  let visit: GdbVisit;
  try {
    visit = await visitGdb(address, options);
  } catch (error) {
    const remedy = `${gdbFlag(address)}, or in the monitor of a QEMU that runs: ${gdbMonitorCommand(address)}`;
    return { checks: [failedBy('gdb', error, remedy), ...NO_GDB] };
  }
  const checks: Check[] = [{ name: 'gdb', outcome: 'ok', detail: `${visit.gdb.address} answers` }];
  try {
    const all = await readAllRegisters(visit.gdb);
    checks.push(
      { name: 'registers', outcome: 'ok', detail: `CR3 of ${all.map(cr3Text).join(', ')}` },
      pagingCheck(all),
    );
  } catch (error) {
    checks.push(failedBy('registers', error), skipped('paging', 'it takes the registers'));
  }
  return { checks, visit };
}

/** Of all vCPUs, in their order. */
export async function readAllRegisters(gdb: GdbClient): Promise<GdbRegisters[]> {
  const all: GdbRegisters[] = [];
  const threads: readonly ThreadId[] = await gdb.threads();
  for (const thread of threads) all.push(await gdb.readRegisters(thread));
  return all;
}

/** The address space that a vCPU has loaded; undefined while its paging is off. */
export function addressSpaceOf(
  registers: GdbRegisters,
): { readonly paging: Paging; readonly root: number } | undefined {
  const paging = guestPaging(registers);
  return paging && { paging, root: rootOf(paging, registers.cr3) };
}

function cr3Text({ cr3 }: GdbRegisters, vcpu: number): string {
  return `vCPU ${vcpu}: ${hex(cr3)}`;
}

function pagingCheck(all: readonly GdbRegisters[]): Check {
  const modes = all.map((registers) => guestPaging(registers)?.mode.name ?? 'off');
  const names = [...new Set(modes)];
  const detail = names.length === 1 ? names[0]! : modes.map((mode, vcpu) => `vCPU ${vcpu}: ${mode}`).join(', ');
  if (names.some((name) => name !== 'off')) return { name: 'paging', outcome: 'ok', detail };
  const why = 'off: the guest has no page tables yet, as at the start of its firmware';
  return { name: 'paging', outcome: 'missing', detail: why, remedy: 'let the guest boot' };
}
