/** `ptmon replay`. */
import { Command } from 'commander';
import type { TextOutput } from '../../../sinks/text-output.ts';
import { EXIT_OK } from '../../exit-codes.ts';
import { interruptible } from '../../interruptible.ts';
import { listOf, OPT_IN_KINDS, positiveNumber } from '../../option-values.ts';
import { type ReplayOptions, runReplay } from './run-replay.ts';
import { addAddress, rootOption } from '../watch/address-option.ts';

const EXAMPLES = `
A replay of a guest that was watched exactly says byte for byte what was said
then. Other addresses can be watched where their tables are in the trace, as
those of neighbours are; what the guest did to them between two stops is
unknown.

Examples:
  ptmon replay guest.trace                       as fast as it goes
  ptmon replay guest.trace --speed 1             as it happened
  ptmon replay guest.trace --json                the events as JSON lines
  ptmon replay guest.trace --va 0x7f0012345000   another address
`;

/** @param exit is told the exit code of a run that did not fail */
export function replayCommand(output: TextOutput, exit: (code: number) => void): Command {
  return new Command('replay')
    .description('say again what was said when a trace was recorded (watch --record)')
    .argument('<file>', 'the trace')
    .option(
      '--speed <n>',
      '1 for as fast as it happened, 2 for twice as fast; as fast as it goes unless told',
      positiveNumber,
    )
    .option('--va <address>', 'another address: 0x…, or a range 0x…+LENGTH; =TAG after it; repeatable', addAddress)
    .option(
      '--root <cr3>',
      'its address space: 0x…, or current (vCPU 0); that of the first watch unless told',
      rootOption,
    )
    .option('--kinds <kinds>', `other kinds of events: ${OPT_IN_KINDS.join(',')}`, listOf(OPT_IN_KINDS))
    .option('--json', 'print JSON lines, not text')
    .addHelpText('after', EXAMPLES)
    .action(async (file: string, options: ReplayOptions) => {
      await interruptible(output, exit, async (signal) => {
        await runReplay(file, options, output, signal);
        return EXIT_OK;
      });
    });
}
