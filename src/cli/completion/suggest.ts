/** What may come next on a command line: commands, options, values. Knows the definitions of the commands, and no shell. */
import { Command, type Option } from 'commander';
import type { CommandContext } from '../context.ts';
import { argumentOf, type ValueKind, valueOf } from './value-kinds.ts';

export interface Suggestion {
  readonly value: string;
  readonly description: string;
}

export interface Suggestions {
  readonly list: readonly Suggestion[];
  /** Files may be meant, too: all of them, or those with this suffix. */
  readonly files?: { readonly suffix?: string };
}

/** Lists what exists at this moment. Each may fail, and then yields nothing. */
export interface Lookup {
  vms(): Promise<readonly Suggestion[]>;
  /** @param words of the command line, which name the guest */
  processes(words: readonly string[]): Promise<readonly (Suggestion & { readonly command: string })[]>;
}

const NONE: Suggestions = { list: [] };

/**
 * @param words of the command line after `ptmon`
 * @param current the beginning of the word to be completed
 */
export async function suggest(
  words: readonly string[],
  current: string,
  context: CommandContext,
  lookup: Lookup,
): Promise<Suggestions> {
  const name = words.find((word) => !word.startsWith('-'));
  const commands = context.commands.filter(({ isHidden }) => isHidden !== true);
  if (name === undefined || (name === 'help' && words.length === 1)) {
    const globals = [
      { value: '--version', description: 'print the version and exit' },
      { value: '--help', description: 'print this help and exit' },
    ];
    if (current.startsWith('-')) return matching(globals, current);
    return matching(
      commands.map((entry) => ({ value: entry.name, description: entry.summary })),
      current,
    );
  }
  const entry = commands.find((each) => each.name === name);
  if (entry === undefined) return NONE;
  const command = await context.defineCommand(entry.name, new Command(name));
  return suggestFor(command, words.slice(words.indexOf(name) + 1), current, lookup);
}

async function suggestFor(
  command: Command,
  words: readonly string[],
  current: string,
  lookup: Lookup,
): Promise<Suggestions> {
  const { given, positional, open } = readWords(command, words);
  const [, long, partial] = /^(--[\w-]+)=([^]*)$/.exec(current) ?? [];
  if (long !== undefined && partial !== undefined) {
    const option = command.options.find((each) => each.long === long);
    const found = await values(option && valueOf(option), partial, words, lookup);
    return { ...found, list: found.list.map((each) => ({ ...each, value: `${long}=${each.value}` })) };
  }
  if (open !== undefined) return values(valueOf(open), current, words, lookup);
  if (current.startsWith('-')) {
    const free = command.options.filter((option) => !option.hidden && (!given.has(option) || isRepeatable(option)));
    const help = { value: '--help', description: 'print this help and exit' };
    return matching(
      [...free.map((option) => ({ value: option.long ?? '', description: option.description })), help],
      current,
    );
  }
  const arguments_ = command.registeredArguments;
  const argument = arguments_[positional] ?? arguments_.find(({ variadic }) => variadic);
  if (argument === undefined) return NONE;
  const isLive = [...given].some(({ long }) => ['--vm', '--qmp', '--gdb'].includes(long ?? ''));
  return values(argumentOf(command.name(), argument, positional, isLive), current, words, lookup);
}

/** The options that are given, the number of arguments, and the option whose value comes next. */
function readWords(command: Command, words: readonly string[]) {
  const given = new Set<Option>();
  let positional = 0;
  let open: Option | undefined;
  for (const word of words) {
    if (open !== undefined) {
      open = undefined;
      continue;
    }
    if (!word.startsWith('-')) {
      positional++;
      continue;
    }
    const option = command.options.find(({ long, short }) => long === word.split('=')[0] || short === word);
    if (option === undefined) continue;
    given.add(option);
    if (option.required && !word.includes('=')) open = option;
  }
  return { given, positional, open };
}

function isRepeatable({ description }: Option): boolean {
  return description.endsWith('repeatable');
}

async function values(
  kind: ValueKind | undefined,
  current: string,
  words: readonly string[],
  lookup: Lookup,
): Promise<Suggestions> {
  switch (kind?.kind) {
    case undefined:
      return NONE;
    case 'words':
      return matching(
        kind.words.map((value) => ({ value, description: '' })),
        current,
      );
    case 'files':
      return { list: [], files: kind.suffix === undefined ? {} : { suffix: kind.suffix } };
    case 'vm':
      return matching(await lookup.vms(), current);
    case 'pid':
      return matching(await lookup.processes(words), current);
    case 'comm': {
      const names = new Set((await lookup.processes(words)).map(({ command }) => command));
      return matching(
        [...names].map((value) => ({ value, description: '' })),
        current,
      );
    }
  }
}

function matching(list: readonly Suggestion[], current: string): Suggestions {
  return { list: list.filter(({ value }) => value.startsWith(current)) };
}
