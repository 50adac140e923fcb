/** QEMU's command line for a guest (qemu(1), "Options"; qemu-options.hx). */
import { PtmonError } from '../../../core/error.ts';

/** What QEMU does the guest's instructions with: its own translator, or the host's processor. */
export type Accelerator = 'tcg' | 'kvm';

/** What a guest is made of, all of it decided. */
export interface Machine {
  readonly accelerator: Accelerator;
  /** QEMU's `-cpu`: a model and its features, as in `max,la57=off`. */
  readonly cpu: string;
  readonly vcpuCount: number;
  readonly memoryMiB: number;
  readonly kernel: string;
  readonly initramfs: string;
  /** The kernel's command line. */
  readonly append: string;
  /** The file that holds the guest's memory. */
  readonly ramFile: string;
  /** Where QEMU connects its two serial ports to: the kernel's console, and the workload's commands. */
  readonly consolePath: string;
  readonly controlPath: string;
  /** Where QEMU listens. */
  readonly qmpPath: string;
  readonly gdbPath: string;
  /** Whether a guest that reboots ends QEMU. */
  readonly exitOnReboot: boolean;
  /** Whether the guest waits for `cont` before its first instruction. */
  readonly startPaused: boolean;
  /** Further arguments, last. */
  readonly extraArguments: readonly string[];
}

/** A value of an option list: a comma would begin the next option, two are one comma. */
function value(text: string): string {
  return text.replaceAll(',', ',,');
}

/** What of a guest's making its kernel is told. */
export interface KernelOptions {
  readonly accelerator?: Accelerator;
  readonly smp?: number;
  readonly nokaslr?: boolean;
  readonly append?: string;
}

/**
 * The kernel's command line: the console, no reboot loop after a panic, no check of the timer (a host that lets QEMU wait makes it lose ticks, and
 * Linux then panics over a broken IO-APIC), and whatever else is asked for. Under TCG it boots with one processor, and init starts the others: Linux
 * patches its code while it boots, and QEMU's translator may execute the old code on another vCPU afterwards (docs/decisions/0003-live.md).
 */
export function kernelCommandLine(options: KernelOptions = {}): string {
  const words = ['console=ttyS0', 'loglevel=4', 'panic=-1', 'no_timer_check'];
  if (options.accelerator !== 'kvm' && (options.smp ?? 1) > 1) words.push('maxcpus=1');
  if (options.nokaslr === true) words.push('nokaslr');
  if (options.append !== undefined && options.append !== '') words.push(options.append);
  return words.join(' ');
}

/**
 * QEMU's arguments.
 *
 * @throws PtmonError `bad-argument` for a machine without memory or processors
 */
export function qemuArguments(machine: Machine): readonly string[] {
  for (const [what, count] of [
    ['memoryMiB', machine.memoryMiB],
    ['smp', machine.vcpuCount],
  ] as const) {
    if (!Number.isInteger(count) || count < 1) {
      throw new PtmonError('bad-argument', `${what} must be a positive integer, not ${count}`);
    }
  }
  const ram = `size=${machine.memoryMiB}M,mem-path=${value(machine.ramFile)},share=on`;
  return [
    // Nothing but what is named here: no network, no screen, no user's configuration.
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-name', 'ptmon-guest'],
    ...['-machine', `pc,memory-backend=mem,accel=${machine.accelerator}`],
    ...['-cpu', machine.cpu, '-smp', String(machine.vcpuCount), '-m', `${machine.memoryMiB}M`],
    ...['-object', `memory-backend-file,id=mem,${ram}`],
    ...['-kernel', machine.kernel, '-initrd', machine.initramfs, '-append', machine.append],
    // QEMU is the client here: what the guest says before anybody listens would be lost.
    ...['-chardev', `socket,id=console,path=${value(machine.consolePath)}`, '-serial', 'chardev:console'],
    ...['-chardev', `socket,id=control,path=${value(machine.controlPath)}`, '-serial', 'chardev:control'],
    ...['-qmp', `unix:${value(machine.qmpPath)},server=on,wait=off`],
    ...['-gdb', `unix:${value(machine.gdbPath)},server=on,wait=off`],
    ...(machine.exitOnReboot ? ['-no-reboot'] : []),
    ...(machine.startPaused ? ['-S'] : []),
    ...machine.extraArguments,
  ];
}
