/** `ptmon stat`. */
import { Command } from 'commander';
import type { TextOutput } from '../../../sinks/text-output.ts';
import { EXIT_OK } from '../../exit-codes.ts';
import { interruptible } from '../../interruptible.ts';
import { runStat, type StatOptions } from './run-stat.ts';

/** @param exit is told the exit code of a run that did not fail */
export function statCommand(output: TextOutput, exit: (code: number) => void): Command {
  return new Command('stat')
    .description('say what happened in a trace: events by kind, process and entry, the most restless addresses, rates')
    .argument('<file>', 'the trace')
    .option('--json', 'print a line of JSON, not text')
    .action(async (file: string, options: StatOptions) => {
      await interruptible(output, exit, async (signal) => {
        await runStat(file, options, output, signal);
        return EXIT_OK;
      });
    });
}
