/** `ptmon vms`. */
import type { Command } from 'commander';
import type { CommandContext } from '../../context.ts';
import { addJsonOption } from '../../options/events.ts';
import { addHelp } from '../../options/help.ts';

const HELP = `
The column "watch" says how ptmon can watch the VM:
  exact                each write to a watched page table stops the guest
  exact, four entries  as exact, but one address only: KVM has four watchpoints
  sampled              ptmon compares the page tables at intervals
The column "missing" lists the QEMU options that would allow more.

Commands that read a live guest take --vm NAME or --vm PID.

Examples:
  ptmon vms
  ptmon ps --vm web
  ptmon vms --json | jq -r 'select(.gdb == null).name'
`;

export function defineVms(command: Command, context: CommandContext): void {
  addHelp(command, HELP);
  addJsonOption(command.usage('[options]')).action(async (options: { readonly json?: boolean }) => {
    const { runVms } = await import('./run-vms.ts');
    await runVms(options, context);
  });
}
