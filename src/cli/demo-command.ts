/** `ptmon demo`. */
import { Command, Option } from 'commander';
import type { TextOutput } from '../sinks/text-output.ts';
import { type DemoOptions, runDemo } from './demo/run-demo.ts';
import { EXIT_OK } from './exit-codes.ts';
import { interruptible } from './interruptible.ts';
import { listOf, OPT_IN_KINDS, PAGING_MODES, wholeNumber } from './option-values.ts';

/** A life in which much happens within 40 pieces of work: fork, exit, copy on write, a huge page, swap. */
const EVENTFUL_SEED = 58;

const EXAMPLES = `
Examples:
  ptmon demo                        a guest with two processors, for people
  ptmon demo --seed 7 --steps 500   another life, and a longer one
  ptmon demo --json | head          the same events as JSON lines
  ptmon demo --mode pae --vcpus 4   32-bit paging, 64-bit entries, 4 processors
`;

/** @param exit is told the exit code of a run that did not fail */
export function demoCommand(output: TextOutput, exit: (code: number) => void): Command {
  return new Command('demo')
    .description('watch the processes of a simulated guest gain and lose their memory')
    .option('--json', 'print JSON lines, not text')
    .option('--seed <n>', 'what happens: the same seed, the same events', wholeNumber(0, 2 ** 32 - 1), EVENTFUL_SEED)
    .option('--steps <n>', 'pieces of work that the guest does, watched', wholeNumber(1, 1e9), 40)
    .option('--after <n>', 'pieces of work that it does before', wholeNumber(0, 1e9), 300)
    .option('--vcpus <n>', 'processors of the guest', wholeNumber(1, 16), 2)
    .addOption(new Option('--mode <mode>', 'paging mode').choices(PAGING_MODES).default(PAGING_MODES[0]))
    .option('--isolation', 'two roots a process, as Linux has against Meltdown')
    .option('--self-map', 'page tables that map themselves, as Windows has them')
    .option('--kinds <kinds>', `more kinds of events: ${OPT_IN_KINDS.join(',')}`, listOf(OPT_IN_KINDS))
    .addHelpText('after', EXAMPLES)
    .action(async (options: DemoOptions) => {
      await interruptible(output, exit, async (signal) => {
        await runDemo(options, output, signal);
        return EXIT_OK;
      });
    });
}
