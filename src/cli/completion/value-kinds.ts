/** What may stand in the place of an option's value or of an argument. */
import type { Argument, Option } from 'commander';

export type ValueKind =
  | { readonly kind: 'words'; readonly words: readonly string[] }
  | { readonly kind: 'files'; readonly suffix?: string }
  /** A VM of this host; a process of the guest, by PID or by name. */
  | { readonly kind: 'vm' | 'pid' | 'comm' };

const FILES: ValueKind = { kind: 'files' };
const TRACES: ValueKind = { kind: 'files', suffix: '.trace' };

const BY_OPTION: Readonly<Record<string, ValueKind>> = {
  vm: { kind: 'vm' },
  pid: { kind: 'pid' },
  comm: { kind: 'comm' },
  root: { kind: 'words', words: ['current'] },
  'root-b': { kind: 'words', words: ['current'] },
  map: { kind: 'words', words: ['heap', 'stack', 'anon'] },
  qmp: FILES,
  gdb: FILES,
  'ram-file': FILES,
  symbols: FILES,
  output: FILES,
  record: FILES,
  kernel: FILES,
  qemu: FILES,
  file: FILES,
};

/** Names in a help text that an option takes: `…: protection,restructure`. */
const LISTED = /: ([\w-]+(?:,[\w-]+)+)$/;

/** Undefined for values that cannot be listed. */
export function valueOf(option: Option): ValueKind | undefined {
  if (option.argChoices !== undefined) return { kind: 'words', words: option.argChoices };
  const listed = LISTED.exec(option.description)?.[1];
  return (
    BY_OPTION[(option.long ?? '').slice(2)] ??
    (listed === undefined ? undefined : { kind: 'words', words: listed.split(',') })
  );
}

/** @param at which argument it is, from 0 @param isLive whether the options name a live guest */
export function argumentOf(command: string, argument: Argument, at: number, isLive: boolean): ValueKind | undefined {
  if (argument.argChoices !== undefined) return { kind: 'words', words: argument.argChoices };
  const name = argument.name();
  const listed = /^one of ([\w-]+(?:, [\w-]+)*)/.exec(argument.description)?.[1];
  if (listed !== undefined) return { kind: 'words', words: listed.split(', ') };
  if (name === 'file') return TRACES;
  // A source comes first, unless the guest is live.
  const isSource = at === 0 && !isLive;
  if (command === 'maps' && !isSource) return { kind: 'pid' };
  return isSource || name === 'dumps' || name === 'script' ? FILES : undefined;
}
