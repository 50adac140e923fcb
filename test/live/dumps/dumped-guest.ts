/** A real guest that stands still while its memory is saved in every way. */
import { readFileSync } from 'node:fs';
import { runProgram } from '../../../src/cli/program.ts';
import { findWorkloadRoot } from '../../../src/drivers/qemu/launch/find-root.ts';
import { type LaunchedGuest, launchGuest, type LaunchOptions } from '../../../src/drivers/qemu/launch/launch.ts';
import type { OtherReport, WorkloadReport } from '../../../src/drivers/qemu/launch/workload-report.ts';
import { QmpClient } from '../../../src/drivers/qemu/qmp/client.ts';
import { readPrintedRegisters } from '../../../src/drivers/qemu/qmp/info-registers.ts';
import type { Outcome } from '../../cli/run.ts';
import { Recorder } from '../../sinks/examples.ts';

/** Address bits of a CR3. */
const ROOT_BITS = 0xf_ffff_ffff_f000n;

export class DumpedGuest {
  readonly guest: LaunchedGuest;
  /** Of the workload. */
  root = 0n;

  private constructor(guest: LaunchedGuest) {
    this.guest = guest;
  }

  static async boot(options: LaunchOptions): Promise<DumpedGuest> {
    const dumped = new DumpedGuest(await launchGuest(options));
    try {
      await dumped.guest.waitForReady();
      dumped.root = (await dumped.asking((qmp) => findWorkloadRoot(qmp, dumped.guest.workload))) & ROOT_BITS;
      return dumped;
    } catch (error) {
      await dumped.guest.stop();
      throw error;
    }
  }

  async commands(...commands: readonly string[]): Promise<WorkloadReport[]> {
    const reports: WorkloadReport[] = [];
    for (const command of commands)
      reports.push(...(await this.guest.workload.command(command, { timeoutMs: 120_000 })));
    return reports;
  }

  /** QEMU serves one QMP client at a time: ours comes and goes. */
  async asking<T>(ask: (qmp: QmpClient) => Promise<T>): Promise<T> {
    const qmp = await QmpClient.connect(this.guest.qmpPath, { timeoutMs: 120_000 });
    try {
      return await ask(qmp);
    } finally {
      await qmp.close();
    }
  }

  /** Stops it while a vCPU has the workload's address space loaded; answers which. */
  async pause(): Promise<number> {
    for (let attempt = 0; attempt < 50; attempt++) {
      const over = this.guest.workload.command('beacon 300', { timeoutMs: 120_000 });
      over.catch(() => {});
      const vcpu = await this.asking(async (qmp) => {
        await new Promise((resolve) => {
          setTimeout(resolve, 100);
        });
        await qmp.execute('stop');
        for (let at = 0; at < (this.guest.workload.hello?.cpus ?? 1); at++) {
          const { cr3 } = await readPrintedRegisters(qmp, at);
          if ((cr3 & ROOT_BITS) === this.root) return at;
        }
        await qmp.execute('cont');
        return undefined;
      });
      if (vcpu !== undefined) return vcpu;
      await over;
    }
    throw new Error('no vCPU was stopped with the address space of the workload');
  }

  async resume(): Promise<void> {
    await this.asking((qmp) => qmp.execute('cont'));
  }

  /** As QEMU saves it. */
  async dump(path: string, options: { readonly paging?: boolean; readonly format?: string } = {}): Promise<string> {
    await this.asking((qmp) =>
      qmp.execute('dump-guest-memory', { paging: false, protocol: `file:${path}`, ...options }),
    );
    return path;
  }

  /** The note that the guest's Linux keeps for dumps of it, from where it says that it is. */
  async vmcoreinfo(): Promise<Uint8Array> {
    const [report] = (await this.commands('sh cat /sys/kernel/vmcoreinfo')) as readonly OtherReport[];
    const [pa] = String(report!.fields['text']).split(' ');
    const page = readFileSync(this.guest.ramFile).subarray(Number(pa), Number(pa) + 4096);
    const byteLength = 24 + Math.ceil(page.readUInt32LE(4) / 4) * 4;
    return Buffer.from(page.subarray(0, byteLength));
  }

  stop(): Promise<void> {
    return this.guest.stop();
  }
}

/** Runs a command line with these lines on its standard input. */
export async function runWith(args: readonly string[], lines: readonly string[] = []): Promise<Outcome> {
  const [stdout, stderr] = [new Recorder(), new Recorder()];
  const stdin = (async function* () {
    yield `${lines.join('\n')}\n`;
  })();
  const code = await runProgram(args, { stdout, stderr, stdin });
  return { code, stdout: stdout.text, stderr: stderr.text };
}
