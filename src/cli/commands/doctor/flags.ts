/** The options of QEMU that watching needs. qemu(1), "Debug/Expert options", "Generic object creation". */
import { RAM_FILE_FLAGS } from '../../../drivers/qemu/memory/ram-file.ts';

export const TCG_FLAG = '-accel tcg';

/** @param address the user's: QEMU is to listen there */
export function qmpFlag(address = '/tmp/qmp'): string {
  return `-qmp ${listening(address)}`;
}

export function gdbFlag(address = '/tmp/gdb'): string {
  return `-gdb ${listening(address)}`;
}

/** For a QEMU that already runs: a command of its monitor. */
export function gdbMonitorCommand(address = '/tmp/gdb'): string {
  return `gdbserver ${listening(address)}`;
}

/** @param byteLength of the guest's RAM, if it is known */
export function ramFileFlags(byteLength: number | undefined): string {
  return byteLength === undefined ? RAM_FILE_FLAGS : RAM_FILE_FLAGS.replace('SIZE', `${byteLength / 2 ** 20}M`);
}

function listening(address: string): string {
  const plain = address.replace(/^(unix|tcp):/, '');
  const isPath = plain.includes('/') || address.startsWith('unix:');
  return `${isPath ? 'unix' : 'tcp'}:${isPath ? plain.replaceAll(',', ',,') : plain},server=on,wait=off`;
}
