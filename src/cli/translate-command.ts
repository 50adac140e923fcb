/** `ptmon translate`. */
import { Command } from 'commander';
import { PtmonError } from '../core/error.ts';
import type { TextOutput } from '../sinks/text-output.ts';
import { EXIT_OK } from './exit-codes.ts';
import { interruptible } from './interruptible.ts';
import { openSnapshot, takeSource } from './snapshot/open-snapshot.ts';
import {
  addSourceOptions,
  addSpaceOptions,
  SOURCE_HELP,
  type SourceAndSpaceOptions,
  spaceRequest,
} from './snapshot/source-options.ts';
import { readAddresses } from './translate/addresses.ts';
import { translate } from './translate/run-translate.ts';

const HELP = `
${SOURCE_HELP}

An address that leads nowhere is an answer, too, with exit code 0; one that is
not canonical is refused with 2.

Examples:
  ptmon translate vm.core 0xffffffff81000000 0x400000
  ptmon translate vm.core - --json <addresses
  ptmon translate memory.raw 0x400000 --root 0x1234000 --paging 4-level
  ptmon translate 0x400000 --qmp /tmp/qmp --gdb /tmp/gdb
`;

interface Options extends SourceAndSpaceOptions {
  readonly json?: boolean;
}

export interface TranslateStreams {
  readonly output: TextOutput;
  readonly messages: TextOutput;
  /** What `-` stands for; not opened before it is needed. */
  readonly input: () => AsyncIterable<unknown>;
}

/** @param exit is told the exit code of a run that did not fail */
export function translateCommand({ output, messages, input }: TranslateStreams, exit: (code: number) => void): Command {
  const command = new Command('translate')
    .description('explain, level by level, where addresses of a dump or of a live guest lead')
    .usage('[options] SOURCE VA…\n       ptmon translate [options] VA… --qmp SOCKET --gdb SOCKET')
    .argument('<va...>', 'the source, unless it is live, then 0x…; - takes them from standard input')
    .option('--json', 'print JSON lines, not text');
  return addSpaceOptions(addSourceOptions(command))
    .addHelpText('after', HELP)
    .action(async (words: readonly string[], options: Options) => {
      const { source, rest } = takeSource(words, options);
      const addresses = await readAddresses(rest, input);
      if (rest.length === 0) throw new PtmonError('bad-argument', `which address of ${source} is to be translated?`);
      await interruptible(output, exit, async (signal) => {
        const open = () => openSnapshot(source, options, signal);
        const request = { addresses, space: spaceRequest(options), ...(options.json && { json: true }) };
        const { description } = await translate(open, request, output, signal);
        await messages.write(`${description}\n`);
        return EXIT_OK;
      });
    });
}
