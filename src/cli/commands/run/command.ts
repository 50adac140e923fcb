/** `ptmon run`. */
import type { Command } from 'commander';
import type { CommandContext } from '../../context.ts';
import { addLiveEventOptions } from '../../options/events.ts';
import { wholeNumber } from '../../options/values.ts';
import { EXIT_FAILED, EXIT_OK } from '../../exit/exit-codes.ts';
import { interruptible } from '../../exit/interruptible.ts';
import type { RunOptions } from './run-guest.ts';
import { addHelp } from '../../options/help.ts';

const HELP = `
run needs QEMU (Debian: apt-get install qemu-system-x86). The first time, it
builds the guest from Debian packages, which needs apt-get and a C compiler
(apt-get install gcc libc6-dev). It installs nothing, and leaves nothing
running.

Examples:
  ptmon run                        boot a Linux guest and watch its memory
  ptmon run --cpu max,la57=off     the same with 4-level paging
  ptmon run --map heap             make the process use its heap, and watch that
  ptmon run --count 20 --json      print twenty events as JSON lines
  ptmon run --no-watch             only boot, for ptmon watch in another terminal
`;

interface Options extends Omit<RunOptions, 'smp' | 'memoryMiB'> {
  readonly vcpus: number;
  readonly ram: number;
}

export function defineRun(command: Command, context: CommandContext): void {
  addHelp(command, HELP);
  command
    .option('--vcpus <n>', 'vCPUs of the guest', wholeNumber(1, 16), 1)
    .option('--ram <mib>', 'memory of the guest', wholeNumber(64, 65536), 256)
    .option('--cpu <model>', "QEMU's -cpu; max has 5-level paging, max,la57=off has 4-level", 'max')
    .option('--kernel <file>', 'another kernel image')
    .option('--qemu <file>', 'another qemu-system-x86_64')
    .option('--pace <ms>', 'pause between two actions of the watched process', wholeNumber(1, 60_000), 200);
  addLiveEventOptions(command)
    .option('--no-watch', 'only boot the guest, for ptmon watch in another terminal')
    .action(async ({ vcpus, ram, ...options }: Options) => {
      await interruptible(context, async (signal) => {
        const { runGuest } = await import('./run-guest.ts');
        const agreed = await runGuest({ ...options, smp: vcpus, memoryMiB: ram }, context, signal);
        return agreed ? EXIT_OK : EXIT_FAILED;
      });
    });
}
