/** `ptmon agent-worker`: the process that watches one VM for an agent. */
import type { Command } from 'commander';
import type { CommandContext } from '../../context.ts';
import { interruptible } from '../../exit/interruptible.ts';

export function defineAgentWorker(command: Command, context: CommandContext): void {
  command.argument('[folder]', 'folder of the agent, which identifies this process in a list').action(async () => {
    await interruptible(context, async (signal) => {
      const { runWorker } = await import('./run-worker.ts');
      return runWorker(context, signal);
    });
  });
}
