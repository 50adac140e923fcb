/** `ptmon agent`. */
import type { Command } from 'commander';
import type { CommandContext } from '../../context.ts';
import { addHelp } from '../../options/help.ts';
import type { AgentCommandOptions } from './run-agent.ts';

const HELP = `
FILE is a policy: JSON, explained in docs/fleet.md. The smallest one watches all
processes of all VMs of this host, at intervals:
  {"version": 1, "folder": "/var/lib/ptmon", "rules": [{}]}

Each VM has a watcher process of its own. SIGHUP reads the policy again. SIGTERM
ends the agent with exit code 0: guests are released, and files are complete.

Examples:
  ptmon agent --config /etc/ptmon.json
  ptmon agent --config /etc/ptmon.json --check    is the policy right?
  ptmon agent --config /etc/ptmon.json --list     what would be watched?
`;

export function defineAgent(command: Command, context: CommandContext): void {
  addHelp(command, HELP);
  command
    .requiredOption('--config <file>', 'path of the policy (JSON, docs/fleet.md)')
    .option('--check', 'read the policy, print it with its defaults, and exit')
    .option('--list', 'list the VMs and the rule for each, and exit')
    .action(async (options: AgentCommandOptions) => {
      const { runAgent } = await import('./run-agent.ts');
      await runAgent(options, context);
    });
}
