/** Lists the VMs of this host. */
import { listVms, type Vm } from '../../../guest/discovery/list-vms.ts';
import { JSONL_VERSION } from '../../../sinks/jsonl-format.ts';
import { printable } from '../../../sinks/printable.ts';
import type { CommandContext } from '../../context.ts';
import { columns } from '../../output/columns.ts';
import { sizeText } from '../../output/size-text.ts';

const HEADING = ['pid', 'name', 'accelerator', 'ram', 'watch', 'missing'];
const NUMBERS = new Set([0, 3]);

export async function runVms(
  { json }: { readonly json?: boolean },
  { output, messages }: CommandContext,
): Promise<void> {
  const vms = listVms();
  if (json === true) {
    for (const vm of vms) await output.write(vmJson(vm));
    return;
  }
  if (vms.length === 0) return messages.write('no VM is running: no process that this user can see is a QEMU\n');
  for (const line of vmLines(vms)) await output.write(`${line}\n`);
}

/** Without line feeds. The sockets are on lines of their own: their paths are long. */
export function vmLines(vms: readonly Vm[]): string[] {
  const [heading, ...rows] = columns([HEADING, ...vms.map(rowOf)], { right: NUMBERS, gap: 2 });
  const indent = ' '.repeat(Math.max(3, ...vms.map(({ pid }) => String(pid).length)) + 2);
  const socketLines = ({ qmp, gdb }: Vm) => [
    `${indent}qmp ${printable(qmp ?? '-')}`,
    `${indent}gdb ${printable(gdb ?? '-')}`,
  ];
  return [heading!, ...vms.flatMap((vm, index) => [rows[index]!, ...socketLines(vm)])];
}

function vmJson({ qmp, gdb, ...vm }: Vm): string {
  return `${JSON.stringify({ v: JSONL_VERSION, kind: 'vm', ...vm, qmp: qmp ?? null, gdb: gdb ?? null })}\n`;
}

function rowOf({ pid, name, accelerator, memoryBytes, modes, missing }: Vm): string[] {
  return [
    String(pid),
    printable(name),
    printable(accelerator),
    sizeText(memoryBytes),
    modes[0] ?? '-',
    missing.map((flag) => flag.split(' ')[0]).join(' ') || '-',
  ];
}
