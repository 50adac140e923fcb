/** The options of every command that takes a snapshot: where it comes from, and which address space of it is meant. */
import { type Command, Option } from 'commander';
import type { PagingModeName } from '../../core/paging/modes.ts';
import type { AddressSpaceRequest } from '../../snapshot/index.ts';
import { MEMORY_WAYS, PAGING_MODES, wholeNumber } from '../option-values.ts';
import { rootOption } from '../commands/watch/address-option.ts';
import type { SnapshotOptions } from './open-snapshot.ts';

export interface SpaceOptions {
  readonly root: 'current' | bigint;
  readonly vcpu: number;
  readonly paging?: PagingModeName;
}

/** What `ptmon COMMAND --help` says of the first word. */
export const SOURCE_HELP =
  'SOURCE is the path of a dump, recognised by its content: an ELF core or a kdump\n' +
  '(of QEMU or makedumpfile, flattened or not), LiME, raw memory; or of a trace,\n' +
  'whose end is looked at. With --qmp and --gdb there is no SOURCE: a live guest is\n' +
  'read, which stands still meanwhile.';

export function addSourceOptions(command: Command): Command {
  return command
    .option('--qmp <socket>', "of a live guest, QEMU's QMP socket: a path, or host:port")
    .option('--gdb <socket>', "of a live guest, QEMU's gdbstub: a path, or host:port")
    .addOption(new Option('--memory <way>', "how a live guest's memory is read").choices(MEMORY_WAYS).default('auto'))
    .option('--ram-file <path>', "the file that is a live guest's memory, where QEMU's word for it is not right here")
    .option('--ram-map <map>', 'where RAM lies in a file of raw memory: 0x0+3G@0,0x100000000+1G@3G');
}

export function addSpaceOptions(command: Command): Command {
  return command
    .option('--root <cr3>', "the address space: current (the vCPU's), or 0x…", rootOption, 'current')
    .option('--vcpu <n>', 'whose registers say how addresses are translated', wholeNumber(0, 4095), 0)
    .addOption(new Option('--paging <mode>', 'how the guest pages, where no registers tell').choices(PAGING_MODES));
}

/** As the library takes it. */
export function spaceRequest({ root, vcpu, paging }: SpaceOptions): AddressSpaceRequest {
  return { vcpu, ...(root !== 'current' && { root }), ...(paging !== undefined && { mode: paging }) };
}

/** Everything that a command has of both. */
export type SourceAndSpaceOptions = SnapshotOptions & SpaceOptions;
