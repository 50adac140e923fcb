/** The text below the options of `ptmon COMMAND --help`, which the manual page of the command contains, too. */
import type { Command } from 'commander';

const TEXTS = new WeakMap<Command, string>();

/** @param text paragraphs between empty lines; the lines after `Examples:` are commands */
export function addHelp(command: Command, text: string): Command {
  TEXTS.set(command, text);
  return command.addHelpText('after', text);
}

/** Empty for a command without. */
export function helpOf(command: Command): string {
  return TEXTS.get(command) ?? '';
}
