/**
 * The machine of the bed while it runs. It is booted once; its state, with all that runs on it, then goes to a file, from which it
 * goes on in two seconds as often as a test wants a fresh one.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findQemu } from '../../../src/drivers/qemu/launch/find-qemu.ts';
import { endQemu, type QemuProcess, startQemu } from '../../../src/drivers/qemu/launch/qemu-process.ts';
import { guardRunFolder } from '../../../src/drivers/qemu/launch/run-folder.ts';
import { SerialPort } from '../../../src/drivers/qemu/launch/serial-port.ts';
import { QmpClient } from '../../../src/drivers/qemu/qmp/client.ts';
import type { BedFiles } from './build.ts';

const MEMORY_MIB = 2048;
const BOOT_TIMEOUT_MS = 180_000;
const MIGRATION_TIMEOUT_MS = 120_000;
const QMP_TIMEOUT_MS = 60_000;
const IDLE_TIMEOUT_MS = 60_000;

/**
 * One processor: with two that run at once (TCG's thread=multi), atomic instructions of a guest pass QEMU 7.2's watchpoints by.
 * Without la57 KVM needs no more than four levels of its own.
 */
const ARGUMENTS = [
  ...['-nodefaults', '-no-user-config', '-display', 'none', '-name', 'ptmon-kvm-bed', '-no-reboot'],
  ...['-machine', 'q35', '-accel', 'tcg,tb-size=512', '-cpu', 'max,la57=off,+svm,+npt', '-smp', '1'],
  ...['-m', `${MEMORY_MIB}M`],
];
const KERNEL_WORDS =
  'console=ttyS0 loglevel=4 panic=-1 mitigations=off nokaslr tsc=reliable lpj=4000000 no_timer_check random.trust_cpu=on';

/** The ports of the machine: its kernel's console, a shell, and the program that carries out calls. */
export const PORTS = ['console', 'shell', 'calls'] as const;
type PortName = (typeof PORTS)[number];

export class BedMachine {
  readonly ports: Readonly<Record<PortName, SerialPort>>;
  readonly #process: QemuProcess;
  readonly #qmp: QmpClient;
  readonly #folder: string;
  readonly #endGuard: () => void;
  #commands = 0;

  private constructor(parts: {
    readonly ports: Readonly<Record<PortName, SerialPort>>;
    readonly process: QemuProcess;
    readonly qmp: QmpClient;
    readonly folder: string;
    readonly endGuard: () => void;
  }) {
    this.ports = parts.ports;
    this.#process = parts.process;
    this.#qmp = parts.qmp;
    this.#folder = parts.folder;
    this.#endGuard = parts.endGuard;
  }

  /** Boots it. @param project the disk with what is to be tested */
  static async boot(files: BedFiles, project: string): Promise<BedMachine> {
    const machine = await BedMachine.#start(files, project, []);
    try {
      await machine.#line('console', /^bed: up/, BOOT_TIMEOUT_MS);
      return machine;
    } catch (error) {
      await machine.stop();
      throw error;
    }
  }

  /** Goes on where a machine was that was saved to `state`; the disks must be the same. */
  static async restore(files: BedFiles, project: string, state: string): Promise<BedMachine> {
    const machine = await BedMachine.#start(files, project, ['-incoming', 'defer']);
    try {
      await machine.#qmp.execute('migrate-incoming', { uri: `exec:cat ${quoted(state)}` });
      await machine.#untilState((state_) => state_ === 'running' || state_ === 'paused');
      await machine.#qmp.execute('cont');
      return machine;
    } catch (error) {
      await machine.stop();
      throw new Error(`the bed cannot be restored: ${String(error)} ${machine.#process.complaints()}`, {
        cause: error,
      });
    }
  }

  static async #start(files: BedFiles, project: string, more: readonly string[]): Promise<BedMachine> {
    const folder = mkdtempSync(join(tmpdir(), 'ptmon-bed-'));
    const path = (name: string) => join(folder, name);
    const [console, shell, calls] = await Promise.all(PORTS.map((name) => SerialPort.listen(path(name))));
    const ports = { console: console!, shell: shell!, calls: calls! };
    const port = (name: PortName) => [
      ...['-chardev', `socket,id=${name},path=${path(name)}`],
      ...(name === 'console'
        ? ['-serial', 'chardev:console']
        : ['-device', `virtserialport,chardev=${name},name=${name}`]),
    ];
    const disk = (id: string, file: string) => [
      ...['-drive', `file=${file},if=none,id=${id},format=raw,readonly=on`],
      ...['-device', `virtio-blk-pci,drive=${id}`],
    ];
    const process = await startQemu(findQemu(), [
      ...ARGUMENTS,
      ...['-kernel', files.kernel, '-initrd', files.initramfs, '-append', KERNEL_WORDS],
      ...disk('root', files.disk),
      ...disk('project', project),
      ...['-device', 'virtio-serial-pci'],
      ...PORTS.flatMap(port),
      ...['-qmp', `unix:${path('qmp')},server=on,wait=off`],
      ...more,
    ]);
    const endGuard = guardRunFolder(folder, process.pid);
    const qmp = await connected(path('qmp'), process);
    return new BedMachine({ ports, process, qmp, folder, endGuard });
  }

  /** Runs a command of its shell; returns what that printed. @throws Error where it fails, or takes too long */
  async shell(command: string, timeoutMs = 60_000): Promise<string> {
    const number = ++this.#commands;
    const said: string[] = [];
    const stop = this.ports.shell.onLine((line) => said.push(line));
    try {
      const end = this.#line('shell', new RegExp(`^@bed ${number} `), timeoutMs);
      this.ports.shell.write(`${number} ${Buffer.from(command).toString('base64')}\n`);
      const code = (await end).split(' ')[2];
      const text = said.slice(0, -1).join('\n').trim();
      if (code !== '0') throw new Error(`"${command}" ended with ${code}: ${text}`);
      return text;
    } finally {
      stop();
    }
  }

  /** Writes its state to a file and ends it. */
  async save(state: string): Promise<void> {
    await this.#stopIdle();
    const parameters = { 'max-bandwidth': 2 ** 33 };
    await this.#qmp.execute('migrate-set-parameters', parameters);
    await this.#qmp.execute('migrate', { uri: `exec:cat > ${quoted(state)}` });
    const deadline = performance.now() + MIGRATION_TIMEOUT_MS;
    for (;;) {
      const { status } = (await this.#qmp.execute('query-migrate')) as { readonly status?: string };
      if (status === 'completed') break;
      if (status === 'failed' || performance.now() > deadline) throw new Error(`saving the machine: ${status}`);
      await sleep(50);
    }
    await this.stop();
  }

  /**
   * Stops it while its processor is idle. QEMU saves a processor that runs a nested guest, and refuses to load that without a KVM of its own:
   * "vCPU set in guest-mode inconsistent with migrated kernel nested state" (target/i386/machine.c, cpu_post_load).
   */
  async #stopIdle(): Promise<void> {
    const deadline = performance.now() + IDLE_TIMEOUT_MS;
    for (;;) {
      await this.#qmp.execute('stop');
      const isIdle = (await this.#qmp.humanMonitor('info registers')).includes('HLT=1');
      if (isIdle) return;
      if (performance.now() > deadline) throw new Error(`the bed's processor is busy for ${IDLE_TIMEOUT_MS} ms`);
      await this.#qmp.execute('cont');
      await sleep(20);
    }
  }

  async stop(): Promise<void> {
    await this.#qmp.close().catch(() => {});
    await endQemu(this.#process);
    for (const port of Object.values(this.ports)) port.close();
    this.#endGuard();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** The next line of a port that matches. */
  async #line(port: PortName, pattern: RegExp, timeoutMs: number): Promise<string> {
    let stop = () => {};
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        const last = [...this.ports.console.recentLines, ...this.ports.shell.recentLines].slice(-30).join('\n');
        reject(
          new Error(`the bed has not said ${pattern} on ${port} within ${timeoutMs} ms. Its last lines:\n${last}`),
        );
      }, timeoutMs);
    });
    const ended = this.#process.ended.then((how) => {
      throw new Error(`the bed's QEMU has ended (${how}): ${this.#process.complaints()}`);
    });
    const line = new Promise<string>((resolve) => {
      stop = this.ports[port].onLine((text) => pattern.test(text) && resolve(text));
    });
    try {
      return await Promise.race([line, late, ended]);
    } finally {
      stop();
      clearTimeout(timer);
      ended.catch(() => {});
    }
  }

  async #untilState(isIt: (state: string) => boolean): Promise<void> {
    const deadline = performance.now() + MIGRATION_TIMEOUT_MS;
    for (;;) {
      const { status } = (await this.#qmp.execute('query-status')) as { readonly status?: string };
      if (status !== undefined && isIt(status)) return;
      if (performance.now() > deadline) throw new Error(`restoring the machine: ${status}`);
      await sleep(50);
    }
  }
}

async function connected(path: string, process: QemuProcess): Promise<QmpClient> {
  const deadline = performance.now() + 30_000;
  for (;;) {
    try {
      return await QmpClient.connect(path, { timeoutMs: QMP_TIMEOUT_MS });
    } catch (error) {
      if (performance.now() > deadline || process.child.exitCode !== null) {
        await endQemu(process);
        throw new Error(`the bed's QEMU does not start: ${process.complaints()}`, { cause: error });
      }
      await sleep(50);
    }
  }
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
  });
}

/** For a shell. */
function quoted(path: string): string {
  return `'${path.replaceAll("'", `'\\''`)}'`;
}
