import { type Command, Option } from 'commander';
import type { GuestMemoryKind } from '../../drivers/qemu/index.ts';
import { MEMORY_WAYS } from '../option-values.ts';

export interface LiveOptions {
  readonly qmp: string;
  readonly gdb: string;
  readonly memory: GuestMemoryKind | 'auto';
  readonly ramFile?: string;
}
export function addLiveOptions(command: Command): Command {
  return command
    .requiredOption('--qmp <socket>', "QEMU's QMP socket: a path, or host:port")
    .requiredOption('--gdb <socket>', "QEMU's gdbstub: a path, or host:port")
    .addOption(new Option('--memory <way>', "how the guest's memory is read").choices(MEMORY_WAYS).default('auto'))
    .option('--ram-file <path>', "the file that is the guest's memory, where QEMU's word for it is not right here");
}
