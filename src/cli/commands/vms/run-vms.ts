/** Lists the VMs of this host. */
import { listVms, type Vm } from '../../../guest/discovery/list-vms.ts';
import { JSONL_VERSION } from '../../../sinks/jsonl-format.ts';
import { printable } from '../../../sinks/printable.ts';
import type { CommandContext } from '../../context.ts';
import { columns } from '../../output/columns.ts';
import { sizeText } from '../../output/size-text.ts';

const HEADING = ['pid', 'name', 'accelerator', 'ram', 'watch', 'qmp', 'gdb', 'missing'];
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
  await output.write(`${columns([HEADING, ...vms.map(rowOf)], { right: NUMBERS, gap: 2 }).join('\n')}\n`);
}

function vmJson({ qmp, gdb, ...vm }: Vm): string {
  return `${JSON.stringify({ v: JSONL_VERSION, kind: 'vm', ...vm, qmp: qmp ?? null, gdb: gdb ?? null })}\n`;
}

function rowOf({ pid, name, accelerator, memoryBytes, modes, qmp, gdb, missing }: Vm): string[] {
  const socket = (address: string | undefined) => printable(address ?? '-');
  return [
    String(pid),
    printable(name),
    printable(accelerator),
    sizeText(memoryBytes),
    modes[0] ?? '-',
    socket(qmp),
    socket(gdb),
    missing.map((flag) => flag.split(' ')[0]).join(' ') || '-',
  ];
}
