/** What can be called: a guest under KVM, its workload, watches of it, and the command line. */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { runProgram } from '../../../src/cli/program.ts';
import { findQemu } from '../../../src/drivers/qemu/launch/find-qemu.ts';
import type { LaunchOptions } from '../../../src/drivers/qemu/launch/launch.ts';
import { QmpClient } from '../../../src/drivers/qemu/qmp/client.ts';
import { differences, type WatchedRange } from '../../live/page-history.ts';
import { countingRom } from '../../live/paging-rom.ts';
import { attach } from '../../../src/guest/index.ts';
import { countWindows, type WindowCounts } from '../../live/proved-windows.ts';
import { WatchedGuest } from '../../live/watched-guest.ts';
import { Recorder } from '../../sinks/examples.ts';

/** The module of the bed that makes emulated debug registers count; undefined where registers are silicon. */
const MODULE = process.env['PTMON_BED_MODULE'];

/** How long a guest may neither change a watched page nor answer, until it is looked at. */
const SILENCE_MS = 40_000;

/** A socket of QMP beside the one that the watch is connected to. */
const SECOND_QMP = join(tmpdir(), `ptmon-second-qmp-${process.pid}`);
const SECOND_QMP_ARGUMENTS = ['-qmp', `unix:${SECOND_QMP},server=on,wait=off`];

let machine: WatchedGuest | undefined;

function guest(): WatchedGuest {
  if (machine === undefined) throw new Error('no guest has been booted');
  return machine;
}

export interface BootResult {
  readonly release: string;
  readonly cpus: number;
  readonly la57: boolean;
  readonly pti: boolean;
}

export interface WatchCall {
  readonly ranges: readonly { readonly va: string; readonly pages: number }[];
  readonly commands: readonly string[];
  readonly timeoutMs?: number;
}

export interface WatchResult {
  readonly events: number;
  readonly pageIns: number;
  readonly differences: readonly string[];
  readonly lost: { readonly known: number; readonly unknown: boolean };
  readonly foundByResync: number;
  readonly stops: number;
  readonly milliseconds: number;
  /** What was seen of a guest that neither changed a page nor answered for a while, before it went on. */
  readonly silence?: string;
}

export interface CommandCall {
  readonly args: readonly string[];
  /** Given to the workload when the watch has begun. */
  readonly commands?: readonly string[];
  /** What the command line is to say on standard error. */
  readonly awaited?: string;
}

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Milliseconds from the first command of the workload to `awaited`. */
  readonly awaitedMs: number;
}

export interface BreakpointResult {
  /** Before the page comes, and with it. */
  readonly states: readonly string[];
  readonly hits: { readonly own: number; readonly kernel: number };
  /** Set beside those two. */
  readonly others: number;
  readonly refused: string;
  /** Hits of one that was removed. */
  readonly after: number;
}

/** What is seen of a guest that does not answer. The last of it stops the vCPUs for a moment, which can wake one up. */
async function evidence(): Promise<string> {
  const { guest: launched } = guest();
  const lines = [
    `its console: ${launched.console.recentLines.slice(-10).join('\n')}`,
    `its workload: ${launched.workload.port.recentLines.slice(-3).join('\n')}`,
  ];
  const qmp = await QmpClient.connect(SECOND_QMP, { timeoutMs: 10_000 });
  try {
    lines.push(`query-status: ${JSON.stringify(await qmp.execute('query-status'))}`);
    for (const command of ['info registers -a', 'info lapic']) {
      const shown = await qmp.humanMonitor(command);
      lines.push(`${command}: ${shown.match(/^(CPU#|RAX|RIP|ISR|IRR).*$/gm)?.join('\n')}`);
    }
  } finally {
    await qmp.close();
  }
  return lines.join('\n');
}

/** Looks at a guest of which nothing has been seen for a while, once. */
class SilenceWatch {
  seen = '';
  #timer: NodeJS.Timeout | undefined;
  readonly #progress: () => string;

  /** @param progress what has come so far, for the report */
  constructor(progress: () => string) {
    this.#progress = progress;
    this.heard();
  }

  heard(): void {
    if (this.seen !== '') return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#look(), SILENCE_MS);
  }

  end(): void {
    clearTimeout(this.#timer);
  }

  async #look(): Promise<void> {
    this.seen = `nothing was seen of the guest for ${SILENCE_MS} ms, after ${this.#progress()}`;
    const found = await evidence().catch((error: unknown) => `it cannot be looked at: ${String(error)}`);
    this.seen += `\n${found}`;
  }
}

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) {
    await new Promise((resolve) => {
      setTimeout(resolve, 20);
    });
  }
}

export const CALLS = {
  /** Boots a guest under KVM, after ending the one before. */
  async boot(options: LaunchOptions): Promise<BootResult> {
    await CALLS.stop({});
    machine = await WatchedGuest.boot({
      accelerator: 'kvm',
      cpu: 'host',
      extraArguments: SECOND_QMP_ARGUMENTS,
      // On a processor that is emulated, on a host that is busy.
      startTimeoutMs: 120_000,
      ...options,
    });
    const { release, cpus, la57, pti } = await machine.guest.workload.ready();
    return { release, cpus, la57, pti };
  },

  async stop(_options: object): Promise<void> {
    await machine?.stop();
    machine = undefined;
  },

  /** Whether writes to watched addresses stop the guest: only the bed can have it otherwise. */
  async debugRegisters({ work }: { readonly work: boolean }): Promise<void> {
    if (MODULE === undefined) throw new Error('only the bed can take the debug registers away');
    const isLoaded = /^dr7 /m.test(execFileSync('cat', ['/proc/modules'], { encoding: 'utf8' }));
    if (isLoaded !== work) execFileSync('busybox', work ? ['insmod', MODULE] : ['rmmod', 'dr7']);
  },

  async command({ command }: { readonly command: string }): Promise<number> {
    return (await guest().guest.workload.command(command, { timeoutMs: 120_000 })).length;
  },

  /** Watches while the workload does as it is told, and compares what was seen with what the workload reports. */
  async watch({ ranges, commands, timeoutMs }: WatchCall): Promise<WatchResult> {
    const watched: WatchedRange[] = ranges.map(({ va, pages }) => ({ va: BigInt(va), pages }));
    const { pid } = guest();
    const since = performance.now();
    let [eventCount, lineCount] = [0, 0];
    const silence = new SilenceWatch(() => `${eventCount} events and ${lineCount} lines of the workload`);
    const endOfLines = guest().guest.workload.port.onLine(() => {
      lineCount++;
      silence.heard();
    });
    try {
      const { events, reports, statistics, stops } = await guest().watch({
        ranges: watched,
        commands,
        ...(timeoutMs !== undefined && { timeoutMs }),
        onEvent: (count) => {
          eventCount = count;
          silence.heard();
        },
      });
      return {
        events: events.length,
        pageIns: statistics.counts['page-in'],
        differences: differences(events, reports, watched, pid).slice(0, 10),
        lost: statistics.lost,
        foundByResync: statistics.foundByResync,
        stops: stops.stops,
        milliseconds: Math.round(performance.now() - since),
        ...(silence.seen !== '' && { silence: silence.seen }),
      };
    } catch (error) {
      throw new Error(`${String(error)}\n${silence.seen}`, { cause: error });
    } finally {
      silence.end();
      endOfLines();
    }
  },

  /**
   * Processes that get a page and exit, one after the other, each watched.
   *
   * @returns what was reported of each: a page-in and a page-out, in this order
   */
  async exits({ rounds, va }: { readonly rounds: number; readonly va: string }): Promise<string[][]> {
    const seen: string[][] = [];
    for (let round = 0; round < rounds; round++) {
      const { events } = await guest().watch({
        ranges: [{ va: BigInt(va), pages: 1 }],
        commands: [`map 1 small at=${va}`, `touch ${va}`, 'exit'],
        until: (all) => all.length >= 2,
      });
      seen.push(events.slice(0, 2).map(({ kind }) => kind));
      await guest().findRoot();
    }
    return seen;
  },

  /** Counts windows of a guest that counts its own writes to its tables: firmware, in a QEMU of its own. */
  async proof({ windows }: { readonly windows: number }): Promise<WindowCounts> {
    const folder = mkdtempSync(join(tmpdir(), 'ptmon-proof-'));
    const [rom, qmp] = [join(folder, 'rom'), join(folder, 'qmp')];
    // A window takes long where Node runs on an emulated processor.
    writeFileSync(rom, countingRom(21));
    const memory = ['-object', 'memory-backend-memfd,id=mem,size=16M,share=on', '-machine', 'pc,memory-backend=mem'];
    const quiet = ['-nodefaults', '-nographic', '-no-user-config'];
    const child = spawn(
      findQemu(),
      [...quiet, '-accel', 'kvm', '-m', '16M', ...memory, '-bios', rom, '-qmp', `unix:${qmp},server=on,wait=off`],
      { stdio: 'ignore' },
    );
    try {
      await until(() => existsSync(qmp));
      return await countWindows(qmp, windows);
    } finally {
      child.kill('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    }
  },

  /**
   * Calls functions with breakpoints on them: one of the workload, whose page is swapped out and shared with children, and one of the kernel.
   * Then sets more breakpoints than there are debug registers.
   */
  async breakpoints({ va }: { readonly va: string }): Promise<BreakpointResult> {
    const { qmpPath, gdbPath, workload } = guest().guest;
    const run = (command: string) => workload.command(command, { timeoutMs: 120_000 });
    await using scripted = await attach({ qmp: qmpPath, gdb: gdbPath });
    const workloads = await scripted.process('workload');
    const own = await workloads.breakpoint(BigInt(va), () => {});
    const states = [own.state];
    await run(`code ${va}`);
    await run(`call ${va} 4`);
    states.push(own.state);
    const kernel = await scripted.breakpoint('__x64_sys_getpid', () => {});
    await run(`call ${va} 1`);
    const others = [];
    let refused = '';
    try {
      for (let page = 1; page <= 3; page++)
        others.push(await workloads.breakpoint(BigInt(va) + BigInt(page * 4096), () => {}));
    } catch (error) {
      refused = String(error);
    }
    for (const each of [own, kernel, ...others]) await each.remove();
    const hits = { own: own.hits, kernel: kernel.hits };
    await run(`call ${va} 4`);
    return { states, hits, others: others.length, refused, after: own.hits - hits.own };
  },

  /** Runs a command line; `QMP` and `GDB` in it are the guest's sockets, `ROOT` its workload's root. */
  async ptmon({ args, commands = [], awaited }: CommandCall): Promise<CommandResult> {
    const { qmpPath, gdbPath } = guest().guest;
    const known: Readonly<Record<string, string>> = {
      QMP: qmpPath,
      GDB: gdbPath,
      ROOT: `0x${guest().root.toString(16)}`,
    };
    const [stdout, stderr] = [new Recorder(), new Recorder()];
    const run = runProgram(
      args.map((arg) => known[arg] ?? arg),
      { stdout, stderr },
    );
    let isOver = false;
    void run.finally(() => {
      isOver = true;
    });
    const seen = (text: string) => until(() => isOver || stderr.text.includes(text));
    if (commands.length > 0) await seen('Watching');
    const since = performance.now();
    const work = (async () => {
      for (const command of commands) await guest().guest.workload.command(command, { timeoutMs: 120_000 });
    })();
    if (awaited !== undefined) await seen(awaited);
    const awaitedMs = Math.round(performance.now() - since);
    const code = await run;
    await work;
    return { code, stdout: stdout.text, stderr: stderr.text, awaitedMs };
  },
};
