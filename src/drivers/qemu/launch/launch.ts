/** Boots a guest of our own in QEMU, and sees to it that nothing of it is left afterwards. */
import { rmSync, writeFileSync } from 'node:fs';
import { PtmonError } from '../../../core/error.ts';
import { type Accelerator, kernelCommandLine, qemuArguments } from './command-line.ts';
import { findQemu } from './find-qemu.ts';
import { chooseKernel, findPrograms, type GuestKernel, guestDirectory } from './guest-files.ts';
import { buildInitramfs } from './initramfs/initramfs.ts';
import { endQemu, startQemu, waitForSockets } from './qemu-process.ts';
import { guardRunFolder, makeRunFolder } from './run-folder.ts';
import { SerialPort } from './serial-port.ts';
import { Workload } from './workload.ts';
import type { WorkloadHello } from './workload-report.ts';

/** How long QEMU may take to listen. */
const START_TIMEOUT_MS = 20_000;
/** A guest boots in 2 to 7 s where it has a processor to itself. */
const BOOT_TIMEOUT_MS = 120_000;

export interface LaunchOptions {
  /** QEMU's path; the one on the PATH if absent. */
  readonly qemu?: string;
  /** A kernel image's path; the preferred one at hand if absent (`findKernels`). */
  readonly kernel?: string;
  /** MiB of guest memory; default 256. */
  readonly memoryMiB?: number;
  /** QEMU's `-cpu`; default `max`, which has 5-level paging. */
  readonly cpu?: string;
  /** Number of vCPUs; default 1. */
  readonly smp?: number;
  /** Default `tcg`: exact watching needs it. */
  readonly accelerator?: Accelerator;
  /** Boots the kernel at the address that it was linked for. */
  readonly nokaslr?: boolean;
  /** More words for the kernel's command line. */
  readonly append?: string;
  /** Lets a guest that reboots begin again; otherwise a reboot, and so a kernel panic, ends QEMU. */
  readonly allowReboot?: boolean;
  /** Has the guest wait for QMP's `cont`; `waitForReady` is then the caller's to time. */
  readonly startPaused?: boolean;
  /** How long QEMU may take until it listens; default 20 s. */
  readonly startTimeoutMs?: number;
  /** Further arguments for QEMU. */
  readonly extraArguments?: readonly string[];
  /** Further programs of the guest: each path there, with the path of the file on this host. */
  readonly files?: Readonly<Record<string, string>>;
  /** Where the guest's files are; default `guestDirectory()`. */
  readonly directory?: string;
}

/** A guest that runs, until `stop`, or until this process ends in whatever way. */
export interface LaunchedGuest {
  readonly pid: number;
  readonly kernel: GuestKernel;
  /** Unix sockets that QEMU listens on. A client that connects to the gdbstub stops the guest. */
  readonly qmpPath: string;
  readonly gdbPath: string;
  /** The shared file that is the guest's memory. */
  readonly ramFile: string;
  readonly memoryMiB: number;
  /** The kernel's console. */
  readonly console: SerialPort;
  readonly workload: Workload;
  /** Resolves when QEMU has ended, with the reason in words; it may be asked at any time. */
  readonly ended: Promise<string>;
  /**
   * Resolves when the guest takes commands.
   *
   * @throws PtmonError `source-unavailable` where it does not in time, ends (with the console's last lines), or leaves processors off
   */
  waitForReady(timeoutMs?: number): Promise<WorkloadHello>;
  /** Ends QEMU and removes its sockets and its memory. Never throws, and may be called again. */
  stop(): Promise<void>;
}

/** What a port has said last, for the end of a message. */
function lastWords(console: SerialPort): string {
  const lines = console.recentLines.filter((line) => line.trim() !== '');
  return lines.length === 0 ? 'Its console said nothing.' : `Its console's last lines:\n${lines.join('\n')}`;
}

/** What has to be undone, in the reverse order of its making. */
class Undo {
  readonly #steps: (() => void | Promise<void>)[] = [];
  #done: Promise<void> | undefined;

  add(step: () => void | Promise<void>): void {
    this.#steps.push(step);
  }

  async run(): Promise<void> {
    this.#done ??= (async () => {
      for (const step of this.#steps.reverse()) {
        try {
          await step();
        } catch {
          // The other steps are no less needed.
        }
      }
    })();
    await this.#done;
  }
}

/**
 * Starts a guest: QEMU with a Linux kernel, and inside it the workload that does what its control port is told. Returns once
 * QEMU listens; the guest is then at the beginning of its boot.
 *
 * @throws PtmonError `source-unavailable` where QEMU, a kernel or the workload is missing (the message says what to install)
 *   or QEMU ends at its start (with its own words), `bad-argument` for an impossible machine
 */
export async function launchGuest(options: LaunchOptions = {}): Promise<LaunchedGuest> {
  const { memoryMiB = 256, directory = guestDirectory() } = options;
  const qemu = findQemu(options.qemu);
  const kernel = chooseKernel(options.kernel, directory);
  const initramfs = buildInitramfs(findPrograms(directory, kernel.bits), kernel.modules, options.files);

  const undo = new Undo();
  try {
    const folder = makeRunFolder(memoryMiB);
    undo.add(() => rmSync(folder.path, { recursive: true, force: true }));
    writeFileSync(folder.initramfs, initramfs);
    const console = await SerialPort.listen(folder.consolePath);
    undo.add(() => console.close());
    const control = await SerialPort.listen(folder.controlPath);
    undo.add(() => control.close());

    const args = qemuArguments({
      ...folder,
      accelerator: options.accelerator ?? 'tcg',
      cpu: options.cpu ?? 'max',
      vcpuCount: options.smp ?? 1,
      memoryMiB,
      kernel: kernel.path,
      append: kernelCommandLine(options),
      exitOnReboot: options.allowReboot !== true,
      startPaused: options.startPaused === true,
      extraArguments: options.extraArguments ?? [],
    });
    const process = await startQemu(qemu, args);
    undo.add(guardRunFolder(folder.path, process.pid));
    undo.add(() => endQemu(process));

    const workload = new Workload(control);
    void process.ended.then((how) => {
      const complaints = process.complaints();
      const words = [`QEMU has ended (${how}).`, lastWords(console)];
      if (complaints !== '') words.push(`\nQEMU said: ${complaints}`);
      workload.lose(new PtmonError('source-unavailable', words.join(' ')));
    });
    await waitForSockets(process, folder, options.startTimeoutMs ?? START_TIMEOUT_MS);
    return {
      pid: process.pid,
      kernel,
      qmpPath: folder.qmpPath,
      gdbPath: folder.gdbPath,
      ramFile: folder.ramFile,
      memoryMiB,
      console,
      workload,
      ended: process.ended,
      waitForReady: async (timeoutMs = BOOT_TIMEOUT_MS) => {
        const hello = await waitForReady(workload, console, timeoutMs);
        requireProcessors(hello, options.smp ?? 1);
        return hello;
      },
      stop: () => undo.run(),
    };
  } catch (error) {
    await undo.run();
    throw error;
  }
}

async function waitForReady(workload: Workload, console: SerialPort, timeoutMs: number): Promise<WorkloadHello> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const why = `the guest has not booted within ${timeoutMs} ms. ${lastWords(console)}`;
      reject(new PtmonError('source-unavailable', why));
    }, timeoutMs);
  });
  try {
    return await Promise.race([workload.ready(), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** A workload from before init started the other processors leaves them off: a guest that looks right, and has one. */
function requireProcessors({ cpus }: WorkloadHello, wanted: number): void {
  if (cpus >= wanted) return;
  const why = `the guest runs ${cpus} of its ${wanted} processors: its workload is older than this ptmon, so make it anew (node guest/build.mjs)`;
  throw new PtmonError('source-unavailable', why);
}
