/** The options of commands that read a guest's memory: which guest, and whose memory. */
import type { Command } from 'commander';
import { errorText, PtmonError } from '../../core/error.ts';
import type { GuestFile, QemuSockets } from '../../guest/index.ts';
import { type RootOption, rootOption } from './address.ts';
import type { PagingModeName } from '../../core/paging/modes.ts';
import {
  addPagingOption,
  addSocketOptions,
  ALREADY_CHOSEN,
  isLive,
  type LiveOptions,
  requireQmp,
  type SourceName,
  takeSource,
} from './source.ts';
import { wholeNumber } from './values.ts';

export interface OwnerOptions extends Pick<LiveOptions, 'qmp' | 'gdb'> {
  readonly pid?: number;
  readonly comm?: string;
  readonly root?: RootOption;
  readonly paging?: PagingModeName;
  readonly consistent?: boolean;
  /** Addresses are physical. */
  readonly physical?: boolean;
}

/** Whose memory: a process's, or that of a top-level table; by default, the one that vCPU 0 has loaded. */
export function addOwnerOptions(command: Command): Command {
  return addProcessOwnerOptions(command).option(
    '--root <cr3>',
    'memory of the address space with this top-level page table: 0x…, as in CR3',
    rootOption,
  );
}

export function addProcessOwnerOptions(command: Command): Command {
  return addPagingOption(addSocketOptions(command))
    .option('--pid <n>', 'memory of the process with this PID (Linux guests)', wholeNumber(1, 2 ** 22))
    .option('--comm <name>', 'memory of the only process with this name (Linux guests)');
}

/** @throws PtmonError `bad-argument` where they exclude each other */
export function checkOwner({ pid, comm, root, physical }: OwnerOptions): void {
  // With --physical, a root only says how a raw file is opened.
  if ([pid, comm, physical ?? root].filter((each) => each !== undefined).length < 2) return;
  const names = physical === undefined ? '--pid, --comm and --root' : '--pid, --comm and --physical';
  throw new PtmonError('bad-argument', `${names} exclude each other: give one of them`);
}

/** What `attach` takes: a file, or the sockets of a live guest. @throws PtmonError `bad-argument` without a source */
export function attachment(source: SourceName, { qmp, gdb }: OwnerOptions): QemuSockets | GuestFile {
  if (source !== undefined) return { file: source };
  requireQmp(qmp);
  return { qmp, ...(gdb !== undefined && { gdb }) };
}

/** The one argument that follows the source. @throws PtmonError `bad-argument` where it is missing, or more follow */
export function sourceAndOne(
  words: readonly string[],
  options: OwnerOptions,
  what: string,
): { source: SourceName; word: string } {
  const { source, rest } = takeSource(words, options);
  const [word, unexpected] = rest;
  if (word === undefined) throw new PtmonError('bad-argument', `missing argument: ${what}`);
  if (unexpected === undefined) return { source, word };
  const why = isLive(options) ? `: ${ALREADY_CHOSEN}; the only argument left is ${what}` : '';
  throw new PtmonError('bad-argument', `unexpected argument "${unexpected}"${why}`);
}

/** An argument by the parser of an option. @throws PtmonError `bad-argument` with what the parser refuses */
export function parseArgument<T>(name: string, word: string, parse: (text: string) => T): T {
  try {
    return parse(word);
  } catch (error) {
    const why = errorText(error);
    throw new PtmonError('bad-argument', `${name} ${word}: ${why}`);
  }
}
