/** The options by which commands choose a source and an address space of it: the same words for each command. */
import { existsSync } from 'node:fs';
import { type Command, Option } from 'commander';
import { PtmonError } from '../../core/error.ts';
import type { PagingModeName } from '../../core/paging/modes.ts';
import type { GuestMemoryKind } from '../../drivers/qemu/index.ts';
import type { AddressSpaceRequest } from '../../snapshot/index.ts';
import { type RootOption, rootOption } from './address.ts';
import { encryptionMask, PAGING_MODES, parseAddress, wholeNumber } from './values.ts';
import { addVmOption } from './vm.ts';

/** How a live guest is reached, and how its memory is read. */
export interface LiveOptions {
  readonly qmp?: string;
  readonly gdb?: string;
  readonly memory?: GuestMemoryKind | 'auto';
  readonly ramFile?: string;
  readonly ramMap?: string;
}

export interface SpaceOptions {
  readonly root: RootOption;
  readonly vcpu: number;
  readonly paging?: PagingModeName;
  readonly encryptionMask: bigint | 'auto';
  /** The process of a Linux guest whose address space it is. */
  readonly pid?: number;
  readonly comm?: string;
  /** Files of the kernel's symbols, and of its types. */
  readonly symbols?: string;
  readonly btf?: string;
}

/** Everything that a command has of both. */
export type SourceAndSpaceOptions = LiveOptions & SpaceOptions & { readonly consistent?: boolean };

const MEMORY_WAYS = ['auto', 'file', 'process', 'gdb'] as const;

const DUMP_HELP =
  'SOURCE is the path of a dump, recognized by its content: ELF core, kdump, LiME,\n' +
  'AVML, migration stream, savevm in a qcow2 image, virsh save, VMware checkpoint,\n' +
  'Windows crash dump, raw memory.';
const TRACE_HELP = 'It can also be a trace: ptmon reads the state at its end.';
const LIVE_HELP =
  'With --vm, or --qmp and --gdb, there is no SOURCE: ptmon pauses the live guest,\nreads it, and resumes it.';

/** What `ptmon COMMAND --help` explains of the first argument, where a trace answers the command. */
export const SOURCE_HELP = `${DUMP_HELP}\n${TRACE_HELP}\n${LIVE_HELP}`;

/** The same for commands that need what a trace does not have: the memory of the kernel. */
export const DUMP_SOURCE_HELP = `${DUMP_HELP}\n${LIVE_HELP}`;

/** The two usage lines of a command that takes a SOURCE. @param rest what follows it, with a space before */
export function sourceUsage(name: string, rest = ''): string {
  return `[options] SOURCE${rest}\n       ptmon ${name} [options]${rest} --vm NAME`;
}

/** @param vm help of `--vm`, as `addVmOption` takes it */
export function addSocketOptions(command: Command, vm?: string): Command {
  return addVmOption(command, vm)
    .option('--qmp <socket>', 'QMP socket of a live QEMU: a path, or host:port')
    .option('--gdb <socket>', 'gdbstub socket of a live QEMU: a path, or host:port');
}

export function addRamFileOption(command: Command): Command {
  return command.option(
    '--ram-file <path>',
    "file of the guest's memory, if the path that QEMU reports does not exist on this host",
  );
}

/** How a source is reached. @param vm as for `addSocketOptions` */
export function addSourceOptions(command: Command, vm?: string): Command {
  addRamFileOption(
    addSocketOptions(command, vm).addOption(
      new Option(
        '--memory <way>',
        "how to read a live guest's memory: from the file that backs it, from QEMU's process, or through the gdbstub; auto takes the first that works",
      )
        .choices(MEMORY_WAYS)
        .default('auto'),
    ),
  );
  return command.option(
    '--ram-map <map>',
    'where RAM lies in a raw memory file, as ADDRESS+LENGTH@OFFSET: 0x0+3G@0,0x100000000+1G@3G',
  );
}

/** @param vcpu whose root is the current one */
export function addRootOption(command: Command, vcpu = 'vCPU 0'): Command {
  return command.option(
    '--root <cr3>',
    `address space, by its top-level page table: 0x…, as in CR3; or current: what ${vcpu} has loaded`,
    rootOption,
    'current',
  );
}

/** @param what the mode is for */
export function addPagingOption(command: Command, what = 'paging mode, where the source has no registers'): Command {
  return command.addOption(new Option('--paging <mode>', what).choices(PAGING_MODES));
}

export function addEncryptionOption(command: Command): Command {
  return command.option(
    '--encryption-mask <mask>',
    'address bits that memory encryption takes: auto, 0x…, or bitN (bit51)',
    encryptionMask,
    'auto',
  );
}

/** For kernels that do not describe their own types. */
export function addBtfOption(command: Command): Command {
  return command.option(
    '--btf <file>',
    'BTF file with the types of a Linux kernel that was built without BTF; pahole --btf_encode_detached makes it',
  );
}

/** As `takeConsistentImage` reads it. */
export function addConsistentOption(command: Command): Command {
  return command.option(
    '--consistent',
    'read a snapshot of one moment, which QEMU saves while the live guest runs (needs only --qmp)',
  );
}

/** Which address space of a source. */
export function addSpaceOptions(command: Command): Command {
  return addPagingOption(
    addRootOption(addEncryptionOption(addBtfOption(command)), 'the vCPU of --vcpu').option(
      '--vcpu <n>',
      'vCPU whose registers give the paging mode and the current root',
      wholeNumber(0, 4095),
      0,
    ),
  );
}

/**
 * An address space by its process, instead of its root.
 *
 * @param texts what each means for this command
 */
export function addProcessOptions(
  command: Command,
  texts = {
    pid: 'address space of the process with this PID (Linux guests)',
    comm: 'address space of the only process with this name (Linux guests)',
  },
): Command {
  return command
    .addOption(new Option('--pid <n>', texts.pid).argParser(wholeNumber(1, 2 ** 22)).conflicts('comm'))
    .option('--comm <name>', texts.comm);
}

export function addSymbolsOption(command: Command): Command {
  return command.option(
    '--symbols <file>',
    'file of kernel symbols (System.map, vmlinux, /proc/kallsyms), instead of those in the guest',
  );
}

/** @throws PtmonError `bad-argument` for two ways to choose one address space */
export function refuseTwoSpaces({ root, pid, comm }: SpaceOptions): void {
  if (root === 'current' || (pid === undefined && comm === undefined)) return;
  throw new PtmonError('bad-argument', '--root excludes --pid and --comm: each chooses an address space');
}

/** As the library takes it. */
export function spaceRequest({ root, vcpu, paging, encryptionMask: mask }: SpaceOptions): AddressSpaceRequest {
  return {
    vcpu,
    encryptionMask: mask,
    ...(root !== 'current' && { root }),
    ...(paging !== undefined && { mode: paging }),
  };
}

/** The path of a file; undefined for the live guest that the options name. */
export type SourceName = string | undefined;

/** Whether the options name a live guest: then no argument is the path of a file. */
export function isLive({ qmp, gdb }: LiveOptions): boolean {
  return qmp !== undefined || gdb !== undefined;
}

/**
 * Splits arguments: the first is the source, unless the options name a live guest.
 *
 * @throws PtmonError `bad-argument` without a source
 */
export function takeSource<Word extends string>(
  words: readonly Word[],
  options: LiveOptions,
): { readonly source: SourceName; readonly rest: readonly Word[] } {
  if (isLive(options)) return { source: undefined, rest: words };
  const [source, ...rest] = words;
  // An address in the place of the source: the sockets were forgotten.
  if (source === undefined || ((source === '-' || parseAddress(source) !== undefined) && !existsSync(source))) {
    throw new PtmonError(
      'bad-argument',
      'no source: give the path of a dump or trace first, or --vm, or --qmp and --gdb of a live guest',
    );
  }
  return { source, rest };
}

/** The same for commands without other arguments. @throws PtmonError `bad-argument` without a source, or with more than one */
export function onlySource(word: string | undefined, options: LiveOptions): SourceName {
  const { source, rest } = takeSource(word === undefined ? [] : [word], options);
  if (rest.length === 0) return source;
  throw new PtmonError('bad-argument', `unexpected argument "${rest[0]}": ${ALREADY_CHOSEN}`);
}

export const ALREADY_CHOSEN = 'the guest is already chosen (--vm, --qmp and --gdb, or the only VM of this host)';

/** A live guest is named by more than its gdbstub. @throws PtmonError `bad-argument` */
export function requireQmp(qmp: string | undefined): asserts qmp is string {
  if (qmp !== undefined) return;
  throw new PtmonError('bad-argument', '--gdb alone is not enough for a live guest: add --qmp, or use --vm');
}
