/** `ptmon run`. */
import { Command } from 'commander';
import type { TextOutput } from '../../../sinks/text-output.ts';
import { EXIT_FAILED, EXIT_OK } from '../../exit-codes.ts';
import { interruptible } from '../../interruptible.ts';
import { listOf, OPT_IN_KINDS, wholeNumber } from '../../option-values.ts';
import { mapOption } from '../watch/map-option.ts';
import { type RunOptions, runGuest } from './run-guest.ts';

const EXAMPLES = `
It takes QEMU (Debian: apt-get install qemu-system-x86). The guest is made the first time, of Debian's packages: that takes apt-get, and
a C compiler (apt-get install gcc libc6-dev). Nothing is installed, and nothing is left running.

Examples:
  ptmon run                        a Linux guest, and what its memory does
  ptmon run --cpu max,la57=off     the same in 4-level paging
  ptmon run --map heap             the heap of a process, found by itself
  ptmon run --count 20 --json      twenty events as JSON lines, and the end
  ptmon run --no-watch             just the guest, for ptmon watch in another terminal
`;

interface Options extends Omit<RunOptions, 'smp' | 'memoryMiB'> {
  readonly vcpus: number;
  readonly ram: number;
}

/** @param exit is told the exit code of a run that did not fail */
export function runCommand(output: TextOutput, messages: TextOutput, exit: (code: number) => void): Command {
  return new Command('run')
    .description('boot a Linux guest of its own in QEMU, and watch it')
    .option('--vcpus <n>', 'processors of the guest', wholeNumber(1, 16), 1)
    .option('--ram <mib>', 'its memory', wholeNumber(64, 65536), 256)
    .option('--cpu <model>', "QEMU's -cpu; max has 5-level paging, max,la57=off has not", 'max')
    .option('--kernel <file>', 'another kernel image')
    .option('--qemu <file>', 'another qemu-system-x86_64')
    .option('--pace <ms>', 'between two things that the watched process does', wholeNumber(1, 60_000), 200)
    .option('--map <map>', 'watch the heap, stack, … of the process, as ptmon watch --map does', mapOption)
    .option('--duration <seconds>', 'end after so long', wholeNumber(1, 1e6))
    .option('--count <n>', 'end after so many events', wholeNumber(1, 1e9))
    .option('--kinds <kinds>', `more kinds of events: ${OPT_IN_KINDS.join(',')}`, listOf(OPT_IN_KINDS))
    .option('--json', 'print JSON lines, not text')
    .option('--record <file>', 'write a trace, for ptmon replay')
    .option('--verify', 'have QEMU translate every watched address at each stop, and report differences')
    .option('--no-watch', 'only boot it, for others to watch')
    .addHelpText('after', EXAMPLES)
    .action(async ({ vcpus, ram, ...options }: Options) => {
      await interruptible(output, exit, async (signal) => {
        const agreed = await runGuest({ ...options, smp: vcpus, memoryMiB: ram }, { output, messages }, signal);
        return agreed ? EXIT_OK : EXIT_FAILED;
      });
    });
}
