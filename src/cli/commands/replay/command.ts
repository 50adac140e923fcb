/** `ptmon replay`. */
import type { Command } from 'commander';
import type { CommandContext } from '../../context.ts';
import { addAddress, rootOption } from '../../options/address.ts';
import { addEventOptions, addSpeedOption, addTimeOption } from '../../options/events.ts';
import { EXIT_OK } from '../../exit/exit-codes.ts';
import { interruptible } from '../../exit/interruptible.ts';
import type { ReplayOptions } from '../../trace/run-replay.ts';
import { addHelp } from '../../options/help.ts';

const HELP = `
If the guest was watched in exact mode, the replay prints the same events, byte
for byte. --va watches an address that was not recorded. The trace must contain
the page tables of that address, as it does for addresses near a recorded one.
ptmon then compares the tables at each stop of the guest, and shows the
differences.

Examples:
  ptmon replay guest.trace                       without pauses
  ptmon replay guest.trace --speed 1             at the recorded speed
  ptmon replay guest.trace --json                the events as JSON lines
  ptmon replay guest.trace --va 0x7f0012345000   another address
`;

export function defineReplay(command: Command, context: CommandContext): void {
  addHelp(command, HELP);
  command.argument('<file>', 'the trace, as ptmon watch --record writes it');
  addSpeedOption(command)
    .option(
      '--va <address>',
      'watch another address: 0x…, or a range 0x…+LENGTH; =TAG after it; repeatable',
      addAddress,
    )
    .option(
      '--root <cr3>',
      'address space of --va: 0x…, or current (of vCPU 0); defaults to that of the first watch',
      rootOption,
    );
  addTimeOption(addEventOptions(command)).action(async (file: string, options: ReplayOptions) => {
    await interruptible(context, async (signal) => {
      const { runReplay } = await import('../../trace/run-replay.ts');
      await runReplay(file, options, context.output, signal);
      return EXIT_OK;
    });
  });
}
