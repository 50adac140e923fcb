/** `ptmon top`. */
import { type Command, Option } from 'commander';
import type { CommandContext } from '../../context.ts';
import { addJsonOption } from '../../options/events.ts';
import { addHelp } from '../../options/help.ts';
import { addSocketOptions } from '../../options/source.ts';
import { wholeNumber } from '../../options/values.ts';
import { EXIT_OK } from '../../exit/exit-codes.ts';
import { interruptible } from '../../exit/interruptible.ts';
import type { TopOptions } from './run-top.ts';
import { SORTS } from './top-sorts.ts';

const HELP = `
Lists the processes of a Linux guest by the memory that they have, with the
pages that each gained and lost per second. Keys sort the list, or open a
process and list its memory areas; ? lists the keys, q quits. The guest never
stops: ptmon reads its memory at intervals while it runs. This works with KVM,
and misses what changes and changes back between two readings. With --json or
--count, and if the output is no terminal or TERM is dumb, top prints one list
after the other.

Examples:
  ptmon top                          the only VM of this host
  ptmon top --vm vm1 --sort swap     by swapped memory
  ptmon top --vm vm1 --count 1       one list, for a script
`;

export function defineTop(command: Command, context: CommandContext): void {
  addHelp(command, HELP);
  addJsonOption(addSocketOptions(command))
    .option('--interval <ms>', 'time between updates', wholeNumber(100, 2 ** 31 - 1), 1000)
    .addOption(new Option('--sort <order>', 'order of the list').choices(SORTS).default('resident'))
    .option('--count <n>', 'print this many lists, then exit', wholeNumber(1, 1e9))
    .action(async (options: TopOptions) => {
      await interruptible(context, async (signal) => {
        const { runTop } = await import('./run-top.ts');
        await runTop(options, context, signal);
        return EXIT_OK;
      });
    });
}
