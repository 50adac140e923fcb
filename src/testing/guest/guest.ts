/**
 * The simulated operating system: what its vCPUs do next, and what may be known about it from inside.
 *
 * Everything it does is decided by its seed, by what is in memory, and by when its vCPUs run. It behaves as Linux does; the
 * kernel's files are named where it follows them.
 */
import { PAGE_BYTES } from '../../core/address/pa.ts';
import { vaOf } from '../../core/address/va.ts';
import type { Machine } from '../machine/machine.ts';
import { Random } from '../random.ts';
import type { Steps, Workload } from '../workload.ts';
import type { KernelAction, ProcessAction } from './actions/action-kind.ts';
import { ActionTable } from './actions/action-table.ts';
import { slab, unmapOne } from './actions/kernel-mappings.ts';
import { exitProcess, FEW, spawn } from './actions/process-life.ts';
import { moveByDevice, reclaim, swapOut } from './actions/reclaim.ts';
import { readAnyway } from './actions/touch.ts';
import { boot } from './boot.ts';
import { type GuestAction, GuestLog, type GuestObserver } from './guest-log.ts';
import { Kernel, type KernelOptions } from './kernel.ts';
import type { Process } from './space/process.ts';

export interface GuestOptions extends Partial<KernelOptions> {
  /** Default 1. */
  readonly seed?: number;
  /** Pieces of work after which it stops beginning new ones; no limit by default. */
  readonly steps?: number;
  /** Every so many pieces of work a device rewrites a page-table entry. Default never. */
  readonly dmaEvery?: number;
  /** Every so many pieces of work the machine is reset and boots again. Default never. */
  readonly resetEvery?: number;
}

/** A process as an observer sees it. */
export interface SimProcess {
  /** 0 for the kernel itself. */
  readonly pid: number;
  readonly name: string;
  /** Physical addresses of its top-level tables: the kernel's, and where page tables are isolated, the user's. */
  readonly roots: readonly number[];
  /** Whether something is being done to its memory right now, by a vCPU that stands in the middle of it. */
  readonly busy: boolean;
  readonly areas: readonly SimArea[];
}

export interface SimArea {
  readonly name: string;
  readonly va: bigint;
  readonly byteLength: number;
}

/** With fewer free frames than one in so many, the guest makes room before it does anything else. */
const LOW_MEMORY = 12;
const ATTEMPTS = 6;

export class Guest implements Workload {
  readonly #machine: Machine;
  readonly #options: KernelOptions & GuestOptions;
  readonly #random: Random;
  readonly #log = new GuestLog();
  readonly #actions: ActionTable;
  readonly #frames: number;
  #kernel: Kernel;
  #running = 0;
  #limit: number;
  #state: 'booting' | 'running' | 'shutting-down' | 'off' = 'booting';

  /** Boots at once. @throws PtmonError `bad-argument` for a seed that is not one */
  constructor(machine: Machine, options: GuestOptions = {}) {
    const { isolation = false, selfMap = false, seed = 1 } = options;
    this.#machine = machine;
    this.#options = { ...options, isolation, selfMap };
    this.#limit = options.steps ?? Infinity;
    this.#random = new Random(seed, 1);
    this.#actions = new ActionTable(this.#random);
    this.#kernel = new Kernel(machine, this.#options, this.#random, this.#log);
    this.#frames = this.#kernel.frames.free;
    for (const _ of this.#boot(0)) machine.settle();
    machine.takeEvents();
  }

  /** @internal Its insides, for checks. */
  get kernel(): Kernel {
    return this.#kernel;
  }

  get finished(): boolean {
    if (this.#state !== 'running') return this.#state === 'off';
    return this.#log.step >= this.#limit;
  }

  /** The processes now, in the order of their creation. */
  get processes(): readonly SimProcess[] {
    return this.#kernel.processes.map(describe);
  }

  /** The kernel itself: the root that no process uses, and what it has mapped with `vmalloc`. */
  get kernelProcess(): SimProcess {
    const { mappings, master } = this.#kernel;
    const areas = mappings.map(({ start, frames }) => area('[vmalloc]', start, frames.length));
    return { pid: 0, name: 'kernel', roots: master.roots, busy: false, areas };
  }

  /** What a vCPU is doing, or did last; undefined before the first. */
  actionOn(vcpu: number): GuestAction | undefined {
    return this.#log.actionOn(vcpu);
  }

  /** Adds an observer, called at once and while the guest is stopped. Returns a function that removes it. */
  observe(observer: GuestObserver): () => void {
    return this.#log.observe(observer);
  }

  /** Lets a guest that has begun all its pieces of work begin more of them. */
  allow(more: number): void {
    this.#limit = this.#log.step + more;
  }

  /** From now on processes only end; when none is left, what the kernel kept is freed and the guest is finished. */
  shutdown(): void {
    if (this.#state !== 'off') this.#state = 'shutting-down';
  }

  start(vcpu: number): Steps | undefined {
    if (this.#state === 'booting' || this.finished) return undefined;
    if (this.#state === 'shutting-down') return this.#endOne(vcpu);
    this.#log.begin(vcpu);
    if (this.#isTime(this.#options.resetEvery)) return this.#reset(vcpu);
    return this.#choose(vcpu) ?? this.#bystander(vcpu);
  }

  #isTime(every: number | undefined): boolean {
    return every !== undefined && this.#log.step % every === 0;
  }

  #choose(vcpu: number): Steps | undefined {
    const kernel = this.#kernel;
    if (this.#isTime(this.#options.dmaEvery)) return this.#byDevice(vcpu);
    if (kernel.frames.free * LOW_MEMORY < this.#frames) return this.#makeRoom(vcpu);
    if (kernel.processes.length < FEW) return this.#onKernel(vcpu, spawn);
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const { process, kernel: forKernel } = this.#actions.pick();
      const steps = process ? this.#onSomeProcess(vcpu, process) : forKernel && this.#onKernel(vcpu, forKernel);
      if (steps !== undefined) return steps;
    }
    return undefined;
  }

  #byDevice(vcpu: number): Steps | undefined {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const steps = this.#onSomeProcess(vcpu, moveByDevice);
      if (steps !== undefined) return steps;
    }
    return undefined;
  }

  /** Memory is low: choose actions that free some. */
  #makeRoom(vcpu: number): Steps | undefined {
    const dice = this.#random.below(8);
    if (dice === 0) return this.#onKernel(vcpu, reclaim);
    if (dice === 1) return this.#onKernel(vcpu, slab);
    if (dice > 2) return this.#onSomeProcess(vcpu, swapOut);
    return this.#endOne(vcpu);
  }

  #onKernel(vcpu: number, action: KernelAction): Steps | undefined {
    const kernel = this.#kernel;
    const frames = action.frames(kernel);
    if (!kernel.frames.promise(frames)) return undefined;
    const steps = action.begin(kernel.cpus[vcpu]!);
    if (steps !== undefined) return this.#run(steps, () => kernel.frames.keepPromise(frames));
    kernel.frames.keepPromise(frames);
    return undefined;
  }

  #onSomeProcess(vcpu: number, action: ProcessAction): Steps | undefined {
    const { processes } = this.#kernel;
    return processes.length === 0 ? undefined : this.#onProcess(vcpu, action, this.#random.pick(processes));
  }

  #onProcess(vcpu: number, action: ProcessAction, process: Process): Steps | undefined {
    const kernel = this.#kernel;
    const { space } = process;
    const frames = action.frames(kernel, process);
    if (!kernel.frames.promise(frames)) return undefined;
    if (space.tryLock(action.exclusive)) {
      const steps = action.begin(kernel.cpus[vcpu]!, process);
      if (steps !== undefined) {
        kernel.enter(vcpu, space, false);
        return this.#run(steps, () => {
          space.unlock(action.exclusive);
          kernel.frames.keepPromise(frames);
        });
      }
      space.unlock(action.exclusive);
    }
    kernel.frames.keepPromise(frames);
    return undefined;
  }

  *#run(steps: Steps, done: () => void): Steps {
    this.#running++;
    yield* steps;
    done();
    this.#running--;
  }

  /** What a thread does while it cannot proceed: it reads its memory. */
  #bystander(vcpu: number): Steps | undefined {
    const { processes } = this.#kernel;
    return processes.length === 0 ? undefined : readAnyway(this.#kernel.cpus[vcpu]!, this.#random.pick(processes));
  }

  /** Ends one idle process; after the last one, the kernel cleans up. */
  #endOne(vcpu: number): Steps | undefined {
    const kernel = this.#kernel;
    const process = kernel.processes.find(({ space }) => space.tryLock(true));
    if (process !== undefined) {
      if (this.#state === 'shutting-down') this.#log.begin(vcpu);
      kernel.enter(vcpu, process.space, false);
      return this.#run(exitProcess(kernel.cpus[vcpu]!, process), () => undefined);
    }
    const last = this.#state === 'shutting-down' && kernel.processes.length === 0 && this.#running === 0;
    return last ? this.#run(this.#cleanUp(vcpu), () => undefined) : undefined;
  }

  *#cleanUp(vcpu: number): Steps {
    const kernel = this.#kernel;
    while (kernel.mappings.length > 0) yield* unmapOne(kernel.cpus[vcpu]!);
    for (const gfn of kernel.slabs.splice(0)) {
      kernel.frames.drop(gfn);
      kernel.frames.drop(gfn + 1);
    }
    kernel.shrinkFiles(Infinity, true);
    this.#state = 'off';
  }

  *#boot(vcpu: number): Steps {
    yield* boot(this.#kernel.cpus[vcpu]!);
    this.#state = 'running';
  }

  /** What is in flight lands; then all roots are gone at once, and memory with them; then the machine boots. */
  *#reset(vcpu: number): Steps {
    const { master, nextPid, spaces, userMaster } = this.#kernel;
    this.#state = 'booting';
    this.#running = 0;
    this.#machine.settle();
    this.#log.note(vcpu, undefined, 'reset');
    for (const space of [...spaces, master, ...(userMaster ? [userMaster] : [])]) {
      for (const root of space.roots) this.#machine.report({ kind: 'root-gone', root });
    }
    this.#machine.reset();
    yield;
    this.#kernel = new Kernel(this.#machine, this.#options, this.#random, this.#log);
    this.#kernel.nextPid = nextPid;
    yield* this.#boot(vcpu);
  }
}

function describe({ pid, name, space }: Process): SimProcess {
  const areas = space.areas.all.map((one) => area(one.name, one.start, one.pages));
  return { pid, name, roots: space.roots, busy: space.busy, areas };
}

function area(name: string, start: number, pages: number): SimArea {
  return { name, va: vaOf(start, 0), byteLength: pages * PAGE_BYTES };
}
