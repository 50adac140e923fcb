/** `ptmon complete`: what the completion scripts of the shells call. */
import { Argument, type Command } from 'commander';
import { liveLookup } from '../../completion/lookup.ts';
import { type Shell, SHELLS } from '../../completion/scripts.ts';
import { suggest } from '../../completion/suggest.ts';
import type { CommandContext } from '../../context.ts';
import { printable } from '../../../sinks/printable.ts';

export function defineComplete(command: Command, context: CommandContext): void {
  command
    .usage('SHELL -- WORDS…')
    .addArgument(new Argument('<shell>', 'the shell, whose script calls this').choices(SHELLS))
    .argument('[words...]', 'the words of the command line after ptmon, up to the one to complete')
    .action(async (shell: Shell, words: readonly string[]) => {
      const joined = shell === 'bash' ? withEquals(words) : words;
      const current = joined.at(-1) ?? '';
      const { list, files } = await suggest(joined.slice(0, -1), current, context, liveLookup(context.vms));
      // bash completes only what follows the equals sign.
      const from = shell === 'bash' && current.startsWith('--') && current.includes('=') ? current.indexOf('=') + 1 : 0;
      const lines = list.map(
        ({ value, description }) => `${printable(value.slice(from))}\t${printable(description)}\n`,
      );
      const directive = files === undefined ? ':none' : `:files ${files.suffix ?? ''}`.trimEnd();
      await context.output.write(`${lines.join('')}${directive}\n`);
    });
}

/** bash splits words at equals signs: puts `--vm`, `=`, `web` together again. */
function withEquals(words: readonly string[]): string[] {
  const joined: string[] = [];
  for (const word of words) {
    const before = joined.at(-1);
    if (before !== undefined && before.startsWith('--') && (word === '=' || before.endsWith('=')))
      joined[joined.length - 1] = before + word;
    else joined.push(word);
  }
  return joined;
}
