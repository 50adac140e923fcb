/** `ptmon translate`. */
import type { Command } from 'commander';
import { PtmonError } from '../../../core/error.ts';
import type { CommandContext } from '../../context.ts';
import { addJsonOption } from '../../options/events.ts';
import {
  addProcessOptions,
  addSourceOptions,
  addSpaceOptions,
  addSymbolsOption,
  SOURCE_HELP,
  type SourceAndSpaceOptions,
  sourceUsage,
  takeSource,
} from '../../options/source.ts';
import { addPhysical } from '../../options/values.ts';
import { addHelp } from '../../options/help.ts';

const HELP = `
${SOURCE_HELP}

An address that does not translate is a result, with exit code 0. A
non-canonical or otherwise invalid address is an error, with exit code 2; on
standard input, the other addresses are still translated. The exit code is 5
where a page table is missing from a dump; standard error counts and names them.

Examples:
  ptmon translate vm.core 0xffffffff81000000 0x400000
  ptmon translate vm.core sys_call_table schedule+0x12
  ptmon translate vm.core 0x7ffd12340000 --pid 81
  ptmon translate vm.core - --json <addresses
  ptmon translate vm.core --pa 0x1234000
  ptmon translate memory.raw 0x400000 --root 0x1234000 --paging 4-level
  ptmon translate 0x400000 --qmp /tmp/qmp --gdb /tmp/gdb
`;

interface Options extends SourceAndSpaceOptions {
  readonly json?: boolean;
  readonly pa?: readonly number[];
}

export function defineTranslate(command: Command, context: CommandContext): void {
  addHelp(command, HELP);
  command
    .usage(sourceUsage('translate', ' VA…'))
    .argument(
      '[SOURCE VA...]',
      'a dump or trace, unless the guest is live; and addresses: 0x…, symbols of the kernel, or - for standard input',
    )
    .option('--pa <address>', 'the reverse: list virtual addresses that translate to 0x…; repeatable', addPhysical);
  addSymbolsOption(addProcessOptions(addSpaceOptions(addSourceOptions(addJsonOption(command))))).action(
    async (words: readonly string[], options: Options) => {
      const { source, rest } = takeSource(words, options);
      const { pa: physical = [], json = false } = options;
      if (rest.length === 0 && physical.length === 0) {
        throw new PtmonError('bad-argument', 'nothing to translate: give virtual addresses, or --pa');
      }
      const { runTranslate } = await import('./run-translate.ts');
      await runTranslate({ source, words: rest, physical, json }, options, context);
    },
  );
}
