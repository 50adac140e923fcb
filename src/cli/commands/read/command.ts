/** `ptmon read`. */
import { type Command, Option } from 'commander';
import type { CommandContext } from '../../context.ts';
import { addressRange } from '../../options/address-range.ts';
import { addOwnerOptions, type OwnerOptions, parseArgument, sourceAndOne } from '../../options/guest-memory.ts';
import { sourceUsage } from '../../options/source.ts';
import { addHelp } from '../../options/help.ts';

const HELP = `
ADDRESS is 0x…, 0x…+LENGTH or 0x…-0x…. Without a length, read prints 256 bytes;
with --string, a text up to its zero byte, of at most 4096 bytes. Of an absent
page it prints nothing: standard error names the page and the reason, and the
exit code is 5 (3 with --string).

Examples:
  ptmon read 0x7f0012340000+64 --pid 412
  ptmon read vm.core 0xffffffff82000000 --string
  ptmon read 0x55d0c0a01000+1M --comm nginx --raw > heap.bin
`;

interface Options extends OwnerOptions {
  readonly raw?: boolean;
  readonly string?: boolean;
  readonly physical?: boolean;
}

export function defineRead(command: Command, context: CommandContext): void {
  addHelp(command, HELP);
  command
    .usage(sourceUsage('read', ' ADDRESS'))
    .argument('[SOURCE ADDRESS...]', 'a dump, unless the guest is live; and what to read');
  addOwnerOptions(command)
    .option('--physical', 'ADDRESS is a physical address')
    .addOption(new Option('--raw', 'print the bytes themselves').conflicts('string'))
    .option('--string', 'print a text that ends with a zero byte')
    .action(async (words: readonly string[], options: Options) => {
      const { source, word } = sourceAndOne(words, options, 'ADDRESS, as 0x…+LENGTH');
      const range = parseArgument('ADDRESS', word, addressRange);
      const { runRead } = await import('./run-read.ts');
      await runRead(source, { ...options, range, hasLength: /[+-]/.test(word) }, context);
    });
}
