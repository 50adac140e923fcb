/** Watches the VMs of a host, as its policy says, as they come and go. */
import { hostname } from 'node:os';
import { join } from 'node:path';
import { errorText } from '../../core/error.ts';
import { printable } from '../../sinks/printable.ts';
import { makeFolder } from '../../driver/make-folder.ts';
import type { Vm } from '../../guest/discovery/list-vms.ts';
import { completeLeftOver, openSegments } from '../journal/append-gap.ts';
import type { Policy } from '../policy/policy.ts';
import { FolderLock } from './folder-lock.ts';
import { findVms, type WantedVm } from './found-vm.ts';
import { MoverProcess, type MoverStatus } from './mover-process.ts';
import { waitForOrphans } from './orphans.ts';
import { VmProcess, type VmStatus } from './vm-process.ts';

export interface AgentOptions {
  readonly policy: Policy;
  /** Path of the command's program: its `agent-worker` takes orders. */
  readonly program: string;
  readonly log: (line: string) => void;
  /** Lists the VMs; defaults to those of this host. */
  readonly list?: () => readonly Vm[];
}

export interface AgentStatus {
  readonly host: string;
  /** Seconds since the agent started. */
  readonly seconds: number;
  readonly reloads: number;
  /** What was moved to the archive or to the broker since the agent started, and why nothing is; null where neither is in the policy. */
  readonly archive: MoverStatus | null;
  readonly broker: MoverStatus | null;
  readonly vms: readonly VmStatus[];
}

/** The command of the processes that an agent starts. */
const WORKER = 'agent-worker';
const RETRY_MS = 5000;
/** What of a policy is read when the agent starts, and what when a VM begins to be watched. */
const AT_RESTART = ['host', 'folder', 'format', 'keepDays', 'broker', 'spoolMiB', 'http'] as const;
const OF_NEW_VMS = ['memoryMiB', 'fileSeconds', 'fileMiB'] as const;

export class Agent {
  readonly #options: AgentOptions;
  readonly #lock: FolderLock;
  readonly #startedMs = performance.now();
  /** By boot. */
  readonly #processes = new Map<string, VmProcess>();
  #policy: Policy;
  #timer: NodeJS.Timeout | undefined;
  #reloads = 0;
  /** By boot: those that are not watched any more, until their process has ended. */
  readonly #leaving = new Map<string, Promise<void>>();
  #isStopped = false;
  #mover: MoverProcess | undefined;

  /** @throws PtmonError `bad-argument` where another agent uses the folder, or it cannot be written */
  constructor(options: AgentOptions) {
    this.#options = options;
    this.#policy = options.policy;
    this.#lock = new FolderLock(options.policy.folder);
  }

  get journalFolder(): string {
    return join(this.#options.policy.folder, 'journal');
  }

  get archiveFolder(): string {
    return join(this.#options.policy.folder, 'events');
  }

  get status(): AgentStatus {
    const moved = this.#mover?.status ?? null;
    return {
      host: this.#host,
      seconds: Math.round((performance.now() - this.#startedMs) / 1000),
      reloads: this.#reloads,
      archive: this.#policy.broker === undefined ? moved : null,
      broker: this.#policy.broker === undefined ? null : moved,
      vms: [...this.#processes.values()].map(({ status }) => status),
    };
  }

  async start(): Promise<void> {
    makeFolder(this.journalFolder);
    // Of an agent that was killed.
    await waitForOrphans(WORKER, this.#options.policy.folder);
    this.#completeLeftOver(openSegments(this.journalFolder));
    this.#mover = this.#startMover();
    this.#watch();
  }

  /** A disk that is full may have room later. */
  #completeLeftOver(paths: readonly string[]): void {
    try {
      completeLeftOver(paths, 'the agent was killed');
    } catch (error) {
      this.#options.log(`the journal: ${errorText(error)}`);
      setTimeout(() => this.#completeLeftOver(paths), RETRY_MS).unref();
    }
  }

  #watch(): void {
    this.#scan();
    this.#timer = setInterval(() => this.#scan(), this.#policy.scanSeconds * 1000);
  }

  /**
   * From now on this policy decides. VMs whose rule it does not change are watched on, without a gap.
   *
   * @returns what of it is not in force, human-readable: where something is that was another before
   */
  reload(policy: Policy): string[] {
    clearInterval(this.#timer);
    this.#reloads++;
    const old = this.#policy;
    const changed = (keys: readonly (keyof Policy)[]) =>
      keys.filter((key) => JSON.stringify(policy[key]) !== JSON.stringify(old[key])).join(', ');
    const [atRestart, ofNewVms] = [changed(AT_RESTART), changed(OF_NEW_VMS)];
    this.#policy = { ...policy, ...Object.fromEntries(AT_RESTART.map((key) => [key, old[key]])) };
    this.#watch();
    return [
      ...(atRestart === '' ? [] : [`Restart the agent for the new ${atRestart}: until then the old holds.`]),
      ...(ofNewVms === '' ? [] : [`The new ${ofNewVms} holds for VMs that are watched from now on; restart for all.`]),
    ];
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#isStopped = true;
    const processes = [...this.#processes.values()];
    await Promise.all([...processes.map((vm) => vm.stop()), ...this.#leaving.values()]);
    // Last: the others complete their files when they end.
    await this.#mover?.stop();
    this.#lock.release();
  }

  /** The arguments show whose process it is. */
  get #program(): readonly string[] {
    return [this.#options.program, WORKER, this.#options.policy.folder];
  }

  get #host(): string {
    return this.#policy.host ?? hostname();
  }

  /** Undefined where the journal is all that is kept. */
  #startMover(): MoverProcess | undefined {
    const { format, keepDays, fileSeconds, broker, spoolMiB } = this.#policy;
    const common = { journal: this.journalFolder, everyMs: fileSeconds * 1000 };
    const { log } = this.#options;
    const program = this.#program;
    if (broker !== undefined) {
      const order = { kind: 'send', ...common, broker, spoolBytes: spoolMiB * 2 ** 20 } as const;
      return new MoverProcess({ order, program, log });
    }
    if (format === 'jsonl') return undefined;
    return new MoverProcess({
      order: { kind: 'keep', ...common, archive: this.archiveFolder, keepDays },
      program,
      log,
    });
  }

  #scan(): void {
    let found: readonly WantedVm[];
    try {
      found = findVms(this.#policy, this.#options.list);
    } catch (error) {
      // Too many open files, perhaps: those that are watched are watched on.
      return this.#options.log(`looking for VMs: ${errorText(error)}`);
    }
    const wanted = new Map(found.map((vm) => [vm.boot, vm]));
    for (const [boot, process] of this.#processes) {
      const now = wanted.get(boot);
      if (now !== undefined && isSame(now, process.vm)) continue;
      this.#log(process.vm, now === undefined ? 'gone, or no longer in the policy' : 'its rule has changed');
      this.#processes.delete(boot);
      this.#leaving.set(boot, this.#leave(process));
    }
    for (const [boot, vm] of wanted) {
      // Two processes cannot watch one VM: its gdbstub takes one client.
      if (!this.#processes.has(boot) && !this.#leaving.has(boot)) this.#begin(vm);
    }
  }

  async #leave(process: VmProcess): Promise<void> {
    await process.stop();
    this.#leaving.delete(process.vm.boot);
    if (!this.#isStopped) this.#scan();
  }

  #begin(vm: WantedVm): void {
    const { fileSeconds, fileMiB, memoryMiB } = this.#policy;
    const process = new VmProcess({
      vm,
      host: this.#host,
      folder: this.journalFolder,
      maxMs: fileSeconds * 1000,
      maxBytes: fileMiB * 2 ** 20,
      memoryMiB,
      program: this.#program,
      log: this.#options.log,
    });
    this.#processes.set(vm.boot, process);
    process.start();
    if (vm.target !== undefined) this.#log(vm, 'watched from now on');
  }

  #log({ name }: WantedVm, line: string): void {
    this.#options.log(`VM ${printable(name)}: ${line}`);
  }
}

function isSame(a: WantedVm, b: WantedVm): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
