/** `--on KIND --stop`: leaves the guest stopped at an event, and prints what a user needs to go on from there. */
import type { MonitorEvent } from '../../core/monitor/events.ts';
import type { QemuDriver } from '../../drivers/qemu/index.ts';

/** The registers of a line, as gdb groups them. */
const REGISTERS = [
  ['rax', 'rbx', 'rcx', 'rdx'],
  ['rsi', 'rdi', 'rbp', 'rsp'],
  ['r8', 'r9', 'r10', 'r11'],
  ['r12', 'r13', 'r14', 'r15'],
  ['rip', 'eflags', 'cs', 'ss'],
  ['eax', 'ebx', 'ecx', 'edx'],
  ['esi', 'edi', 'ebp', 'esp'],
  ['eip'],
  ['cr0', 'cr2', 'cr3', 'cr4'],
];

export interface StoppedGuest {
  readonly driver: QemuDriver;
  readonly event: MonitorEvent;
  /** Addresses of QEMU's sockets, as the command line names them. */
  readonly qmp: string;
  readonly gdb: string;
}

/** Leaves the guest stopped once its driver is closed. The guest must be stopped. @returns lines: registers, and how to go on */
export async function leaveStoppedAt({ driver, event, qmp, gdb }: StoppedGuest): Promise<string[]> {
  const vcpu = event.vcpu ?? 0;
  const registers = await driver.readAllRegisters(vcpu);
  driver.leaveStopped();
  const known = REGISTERS.map((names) => names.filter((name) => registers.has(name))).filter(
    ({ length }) => length > 0,
  );
  return [
    `The guest is stopped after ${event.kind} of 0x${event.va.toString(16)}. vCPU ${vcpu}:`,
    ...known.map((names) => `  ${names.map((name) => cell(name, registers.get(name)!)).join('  ')}`),
    `To debug it from here: gdb -ex ${inShell(`target remote ${gdbTarget(gdb)}`)}`,
    `To resume it: ptmon doctor --release --qmp ${inShell(qmp)} --gdb ${inShell(gdb)}, or "cont" in QEMU's monitor`,
  ];
}

function cell(name: string, value: bigint): string {
  return `${name.padEnd(6)} 0x${value.toString(16).padStart(16, '0')}`;
}

/** As gdb names a socket: a path, or host:port. */
function gdbTarget(address: string): string {
  return address.replace(/^unix:/, '');
}

/** A word of a command line that a user copies. */
function inShell(word: string): string {
  return /^[\w./:@%+=,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
