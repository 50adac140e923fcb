/** A guest's Linux, as far as it is known from outside: its processes, what they have in memory, what its page tables mean to it. */
import { PtmonError } from '../core/error.ts';
import type { RemoteFetch } from '../driver/driver.ts';
import { foreignFunctions } from './btf/other-kernel.ts';
import { type EntryFormat, type EntryMeaning, meaningOf } from './entries/entry-meaning.ts';
import { findSwapDevices, type SwapDevice } from './entries/swap-devices.ts';
import { swapTypesOf } from './entries/swap-types.ts';
import { findKernel } from './kernel/find-kernel.ts';
import type { FindKernelOptions, KernelSource, LinuxKernel } from './kernel/kernel.ts';
import { type AreaPages, PageCounter } from './maps/area-pages.ts';
import { AreaReader } from './maps/area-reader.ts';
import { hasMapleTrees } from './maps/maple-tree.ts';
import type { AreaList, MemoryArea } from './maps/memory-area.ts';
import { FaultList } from './memory/fault-list.ts';
import { attemptSteps, type Steps, StepRunner } from './memory/steps.ts';
import { kernelAreas } from './areas/kernel-areas.ts';
import type { KernelArea } from './areas/area-source.ts';
import { readKallsyms } from './symbols/kallsyms.ts';
import { type KernelModule, readModules } from './symbols/modules.ts';
import { joinTables, type SymbolTable, tableOf } from './symbols/symbol-table.ts';
import type { Process, ProcessList } from './process/process.ts';
import { TaskReader } from './process/task-reader.ts';

/** What of the kernel has which name. */
export interface KernelNames {
  /** Undefined where none are found, as of a kernel that was built without CONFIG_KALLSYMS, and no file has them. */
  readonly symbols: SymbolTable | undefined;
  /** Ascending; none overlaps another. */
  readonly areas: readonly KernelArea[];
  readonly modules: readonly KernelModule[];
  /** Human-readable: each inconsistency. */
  readonly faults: readonly string[];
}

/** An area, and how much of it is in memory. */
export interface MappedArea extends MemoryArea, AreaPages {}

export interface MemoryMap {
  readonly process: Process;
  /** Ascending. */
  readonly areas: readonly MappedArea[];
  /** Human-readable: each inconsistency of the guest. */
  readonly faults: readonly string[];
}

/** While the guest is stopped, all answers are of one moment. Every call throws what the source throws. */
export class LinuxGuest {
  readonly kernel: LinuxKernel;
  /** For callers that read a piece at a time. */
  readonly tasks: TaskReader;
  #areas: AreaReader | undefined;
  /** How it writes entries that are not present. */
  readonly entryFormat: EntryFormat;
  readonly #runner: StepRunner;
  #ownSymbols: Promise<SymbolTable | undefined> | undefined;
  #names: Promise<KernelNames> | undefined;

  /** @throws PtmonError `corrupt-input` where the kernel's BTF does not describe processes */
  constructor(kernel: LinuxKernel, remote?: RemoteFetch, signal?: AbortSignal) {
    this.kernel = kernel;
    this.tasks = new TaskReader(kernel);
    this.entryFormat = { types: swapTypesOf(kernel.btf), paging: kernel.memory.paging };
    this.#runner = new StepRunner(remote, signal);
  }

  /** For callers that read a piece at a time. @throws PtmonError `corrupt-input` where the kernel's BTF does not describe memory */
  get areas(): AreaReader {
    this.#areas ??= new AreaReader(this.kernel);
    return this.#areas;
  }

  /** Every process, and each inconsistency. */
  processes(): Promise<ProcessList> {
    return this.run(() => this.tasks.list());
  }

  /** The memory of a process. @throws PtmonError `bad-argument` where there is none of this number */
  async map(pid: number): Promise<MemoryMap> {
    const { processes, faults: others } = await this.processes();
    const process = processes.find((each) => each.pid === pid);
    if (process === undefined) {
      const but = others.length === 0 ? '' : `, as far as its list of processes can be read (${others[0]})`;
      throw new PtmonError('bad-argument', `the guest has no process ${pid}${but}; ptmon ps lists them`);
    }
    if (process.mm === null) return { process, areas: [], faults: others };
    const { mm } = process;
    const list = await this.run(() => this.areas.list(mm));
    const { physical } = this.kernel.memory;
    // Broken pages are resident since 6.9 and its stable updates of 6.1 and 6.6 (07a57a338adb); maple trees came with 6.1.
    const counter = new PageCounter(physical, this.entryFormat, hasMapleTrees(this.kernel.btf));
    const faults = new FaultList();
    for (const fault of list.faults) faults.note(fault);
    const areas: MappedArea[] = [];
    for (const area of list.areas) areas.push({ ...area, ...(await this.#pages(counter, process, area, faults)) });
    const { missingTables } = counter;
    if (missingTables > 0) {
      const tables = missingTables === 1 ? '1 page table is' : `${missingTables} page tables are`;
      faults.note(`${tables} missing: the pages below are not counted as resident or swapped`);
    }
    return { process, areas, faults: faults.texts };
  }

  /** What an entry that is not present means; undefined for one that is. @param level 1 for that of a page table */
  meaningOf(value: bigint, level: number): EntryMeaning | undefined {
    return meaningOf(this.entryFormat, value, level);
  }

  /** The areas of a process. @param mm address of its `mm_struct` */
  areasOf(mm: bigint): Promise<AreaList> {
    return this.run(() => this.areas.list(mm));
  }

  /**
   * The kernel's symbols, its modules, and the areas of its half. Looks through the kernel's image the first time.
   *
   * @param known symbols from elsewhere, a file, instead of the kernel's own
   * @throws PtmonError `corrupt-input` where the BTF does not describe modules
   */
  names(known?: SymbolTable): Promise<KernelNames> {
    if (known !== undefined) return this.#readNames(known);
    this.#names ??= this.#readNames();
    return this.#names;
  }

  /** The symbols that the kernel has of itself; undefined where it was built without. */
  ownSymbols(): Promise<SymbolTable | undefined> {
    this.#ownSymbols ??= this.run(() => readKallsyms(this.kernel));
    return this.#ownSymbols;
  }

  async #readNames(known?: SymbolTable): Promise<KernelNames> {
    const own = known ?? (await this.ownSymbols());
    if (own !== undefined) await this.run(() => own.prepare());
    const faults = new FaultList();
    const list = own?.find('modules')?.address;
    const modules = list === undefined ? [] : await this.run(() => readModules(this.kernel, list, faults.note));
    const { kernelStart } = this.kernel.memory;
    const loaded = tableOf(
      modules.flatMap(({ symbols }) => symbols),
      kernelStart,
    );
    // The kernel's own are without those of modules; a copy of /proc/kallsyms has them.
    const symbols = own && (known?.hasModules === true ? own : joinTables(own, loaded));
    if (symbols !== undefined) await this.run(() => symbols.prepare());
    const areas = await this.do(() => kernelAreas({ kernel: this.kernel, symbols, modules }));
    return { symbols, areas, modules, faults: faults.texts };
  }

  /** What the guest swaps to. Looks through the kernel's data. */
  swapDevices(): Promise<readonly SwapDevice[]> {
    return this.run(() => findSwapDevices(this.kernel));
  }

  /** Runs a short read of the guest's memory, and fetches what is missing. */
  do<T>(read: () => T): Promise<T> {
    return this.run(function* () {
      return read();
    });
  }

  /** Runs a read of the guest's memory that may take long, and fetches what is missing. */
  run<T>(read: () => Steps<T>): Promise<T> {
    return this.#runner.run(() => {
      this.kernel.memory.begin();
      return read();
    });
  }

  async #pages(counter: PageCounter, { roots }: Process, area: MemoryArea, faults: FaultList): Promise<AreaPages> {
    const [root] = roots;
    const { start, end, isHugetlb } = area;
    if (root === undefined || start >= KERNEL_HALF) return NO_PAGES;
    const pages = await this.run(() => attemptSteps(() => counter.count(root, start, end), faults.note));
    return isHugetlb && pages !== undefined ? { ...pages, resident: 0 } : (pages ?? NO_PAGES);
  }
}

const KERNEL_HALF = 1n << 63n;
const NO_PAGES: AreaPages = { mapped: 0, resident: 0, swapped: 0 };

/** Finds the kernel in a guest. @throws PtmonError as `findKernel`; `source-unavailable` for types that are of another kernel */
export async function openLinux(source: KernelSource, options: FindKernelOptions = {}): Promise<LinuxGuest> {
  const guest = new LinuxGuest(await findKernel(source, options), source.remote, options.signal);
  const { types, onWarning } = options;
  if (types === undefined) return guest;
  if (guest.kernel.btf !== types) {
    onWarning?.('the kernel has its own types, and is read by these: those given for it (--btf) are not used');
    return guest;
  }
  const symbols = await guest.ownSymbols();
  const misfit = symbols && (await guest.run(() => foreignFunctions(types, symbols)));
  if (misfit === undefined) return guest;
  const why = `the types given for it (--btf) are another kernel's: ${misfit}`;
  throw new PtmonError('source-unavailable', `no Linux kernel can be read: ${why}`);
}
