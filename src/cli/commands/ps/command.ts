/** `ptmon ps`. */
import type { Command } from 'commander';
import type { CommandContext } from '../../context.ts';
import { addJsonOption } from '../../options/events.ts';
import {
  addConsistentOption,
  addSourceOptions,
  addSpaceOptions,
  onlySource,
  type SourceAndSpaceOptions,
  sourceUsage,
  DUMP_SOURCE_HELP,
} from '../../options/source.ts';
import { addHelp } from '../../options/help.ts';

const HELP = `
${DUMP_SOURCE_HELP}

ptmon needs nothing in the guest, and no symbols: it finds the kernel through
the page tables, and reads the layout of its structures from its BTF
(CONFIG_DEBUG_INFO_BTF).

Examples:
  ptmon ps vm.core
  ptmon ps --qmp /tmp/qmp --gdb /tmp/gdb
  ptmon ps --json --qmp /tmp/qmp --gdb /tmp/gdb | jq -r 'select(.command == "nginx").roots[0]'
`;

interface Options extends SourceAndSpaceOptions {
  readonly json?: boolean;
}

export function definePs(command: Command, context: CommandContext): void {
  addHelp(command, HELP);
  command.usage(sourceUsage('ps')).argument('[source]', 'path of a dump, unless the guest is live');
  addSpaceOptions(addConsistentOption(addSourceOptions(addJsonOption(command)))).action(
    async (word: string | undefined, options: Options) => {
      const source = onlySource(word, options);
      const { runPs } = await import('./run-ps.ts');
      await runPs(source, options, context);
    },
  );
}
