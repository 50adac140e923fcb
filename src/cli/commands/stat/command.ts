/** `ptmon stat`. */
import type { Command } from 'commander';
import type { CommandContext } from '../../context.ts';
import { EXIT_OK } from '../../exit/exit-codes.ts';
import { interruptible } from '../../exit/interruptible.ts';
import type { StatOptions } from './run-stat.ts';

export function defineStat(command: Command, context: CommandContext): void {
  command
    .argument('<file>', 'the trace')
    .option('--json', 'print one line of JSON instead of text')
    .action(async (file: string, options: StatOptions) => {
      await interruptible(context, async (signal) => {
        const { runStat } = await import('./run-stat.ts');
        await runStat(file, options, context.output, signal);
        return EXIT_OK;
      });
    });
}
