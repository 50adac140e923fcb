/** `ptmon archive`. */
import type { Command } from 'commander';
import type { CommandContext } from '../../context.ts';
import { addHelp } from '../../options/help.ts';
import { EXIT_OK } from '../../exit/exit-codes.ts';
import { interruptible } from '../../exit/interruptible.ts';

const HELP = `
FILE is JSON, explained in docs/fleet.md. It names the broker that agents send
their events to, and the folder where the events are kept, as Parquet files:
  {"version": 1, "folder": "/var/lib/ptmon-archive",
   "broker": {"servers": ["tls://broker:4222"]}}

An event stays at the broker until its file is on the disk. Several archivers
with the same broker and the same folder share the work. ptmon query reads the
folder.

Example:
  ptmon archive --config /etc/ptmon-archive.json
`;

export function defineArchive(command: Command, context: CommandContext): void {
  addHelp(command, HELP);
  command
    .requiredOption('--config <file>', 'path of the settings (JSON, docs/fleet.md)')
    .action(async ({ config }: { config: string }) => {
      await interruptible(context, async (signal) => {
        const { runArchive } = await import('./run-archive.ts');
        await runArchive(config, context, signal);
        return EXIT_OK;
      });
    });
}
