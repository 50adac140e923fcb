/**
 * Watches the memory of processes as they come and go.
 *
 * In exact watching the guest stops at each write to the words that tell of it, so that nothing is seen late:
 *
 *      fork        copy_process links the new task to the end of the list         prev of the list's head
 *      exec        exec_mmap gives the task another mm, then it gets its name      mm and comm of the task
 *      exit        exit_mm takes the task's mm, mmput counts down                  mm_users of the mm
 *      reaping     release_task takes the task out of the list                     prev of the task
 *      mmap, brk   an area changes before a page of it does                        map_count, total_vm, brk of the mm
 *
 * An address space is gone when its count of users is 0 (kernel/fork.c, `mmput`): no process can come back to it, and its tables are
 * still whole then. Where the guest is sampled it is gone when no process has it any more.
 */
import { hex } from '../../core/address/va.ts';
import { PtmonError } from '../../core/error.ts';
import type { MonitorEvent } from '../../core/monitor/events.ts';
import type { SourceEvent } from '../../driver/driver.ts';
import type { LinuxGuest } from '../linux-guest.ts';
import { FaultList } from '../memory/fault-list.ts';
import { attempt } from '../memory/guest-fault.ts';
import type { Steps } from '../memory/steps.ts';
import type { TaskBrief } from '../process/task-reader.ts';
import { PROCESSES_UNSEEN } from './process-lives.ts';
import { isWanted, type ProcessSelection } from './selection.ts';
import { WatchedSpace, type WatchingSession } from './watched-space.ts';
import { WordList, wordsOf } from './word-list.ts';

export interface ProcessWatchOptions {
  readonly linux: LinuxGuest;
  readonly selection: ProcessSelection;
  /** Whether the guest stops at each write to the words; otherwise everything is looked at each time. */
  readonly isExact: boolean;
  /** With several, some writes come without a stop of their own. */
  readonly vcpuCount: number;
  /** Distinguishes the ranges of this watch where a session has several: each then labels its own events only. */
  readonly owner?: string;
  /** Receives human-readable lines: what comes and goes, and what is inconsistent. */
  readonly onNotice?: (text: string) => void;
  /** Called when nothing can come any more: the process of this number is gone. */
  readonly onEnd?: () => void;
}

const COMM_BYTES = 16;

/** Takes part in a session (`SystemLayer`). */
export class ProcessWatch {
  readonly #options: ProcessWatchOptions;
  readonly #words: WordList;
  /** By root. */
  readonly #spaces = new Map<number, WatchedSpace>();
  /** Those that have gone in this batch: their last events come now. */
  readonly #gone = new Map<number, WatchedSpace>();
  #session: WatchingSession | undefined;
  #isOver = false;
  #said = new Set<string>();
  /** Of the last look. */
  #faults: ReadonlySet<string> = new Set();

  constructor(options: ProcessWatchOptions) {
    this.#options = options;
    const { physical, paging } = options.linux.kernel.memory;
    this.#words = new WordList(physical, paging.mode.entryBytes);
  }

  /** What is watched now: `nginx[12]`. */
  get watched(): readonly string[] {
    return [...this.#spaces.values()].map(({ tag }) => tag);
  }

  /**
   * All of a single process is told of by the tables that are watched. Of a part, it is not: where an area is that nobody wants, one that is
   * wanted may be for a while.
   */
  get blindTo(): string | undefined {
    const { isExact, selection } = this.#options;
    if (isExact) return undefined;
    if (!('pid' in selection.by)) return PROCESSES_UNSEEN;
    return selection.map === undefined ? undefined : 'areas of memory may come and go between two samples';
  }

  /** Releases all that it watches, while the guest is stopped. */
  async end(): Promise<void> {
    for (const space of this.#spaces.values()) await space.release();
    this.#spaces.clear();
  }

  /** Watches what is there. The guest must be stopped. @throws PtmonError `bad-argument` where there is no process of this number */
  async begin(session: WatchingSession): Promise<void> {
    this.#session = session;
    const tasks = await this.#look();
    for (const space of this.#spaces.values()) await space.nameAreas();
    const { by } = this.#options.selection;
    if (!('pid' in by) || this.#spaces.size > 0) return;
    const isThere = tasks.some(({ pid }) => pid === by.pid);
    throw new PtmonError(
      'bad-argument',
      isThere
        ? `process ${by.pid} has ended: its memory is gone`
        : `the guest has no process ${by.pid} with memory of its own; ptmon ps lists them`,
    );
  }

  words(): Float64Array {
    return this.#words.addresses;
  }

  async update(batch: readonly SourceEvent[]): Promise<readonly SourceEvent[]> {
    this.#gone.clear();
    this.#options.linux.kernel.memory.forget();
    if (!(await this.#mustLook(batch))) return [];
    const tasks = await this.#look();
    const { selection } = this.#options;
    const isWaiting = tasks.some((task) => isWanted(selection, task) && task.mm !== 0n);
    this.#isOver = 'pid' in selection.by && this.#spaces.size === 0 && !isWaiting;
    return [...this.#gone.keys()].map((root) => ({ kind: 'root-gone', root }));
  }

  async label(events: readonly MonitorEvent[]): Promise<readonly MonitorEvent[]> {
    const labelled: MonitorEvent[] = [];
    for (const event of events) {
      const space = this.#gone.get(event.root) ?? this.#spaces.get(event.root);
      // Of what another watch of this session retains, that one tells.
      if (this.#options.owner !== undefined && space?.isOwn(event) !== true) continue;
      for (const part of space === undefined ? [event] : await space.label(event)) labelled.push(part);
    }
    // Not before the last word has been said.
    if (this.#isOver) this.#options.onEnd?.();
    return labelled;
  }

  async #mustLook(batch: readonly SourceEvent[]): Promise<boolean> {
    const { isExact, vcpuCount, linux } = this.#options;
    if (!isExact) return true;
    const isTouched = batch.some((said) => said.kind === 'write' && this.#words.isTouched(said.pa, said.byteLength));
    const isSure = vcpuCount === 1 && !batch.some((said) => said.kind === 'missed' && said.lost === null);
    return isTouched || (!isSure && (await linux.do(() => this.#words.hasChanged())));
  }

  /** Brings what is watched to what there is. Returns the processes that have memory, or had. */
  async #look(): Promise<readonly TaskBrief[]> {
    const { linux } = this.#options;
    const { tasks, faults } = await linux.run(() => this.#read());
    this.#sayFaults(faults);
    // What a list that breaks off does not name may be there all the same.
    const owners = byMemory(tasks);
    const isWhole = faults.length === 0;
    for (const space of [...this.#spaces.values()]) await this.#review(space, owners.get(space.mm) ?? [], isWhole);
    const known = new Map([...this.#spaces.values()].map((space) => [space.mm, space]));
    for (const task of tasks) {
      if (isWanted(this.#options.selection, task) && task.mm !== 0n) await this.#meet(task, known);
    }
    const words = await linux.run(() => this.#wordsFor(tasks));
    await linux.do(() => this.#words.set(words));
    return tasks;
  }

  *#read(): Steps<{ readonly tasks: readonly TaskBrief[]; readonly faults: readonly string[] }> {
    const faults = new FaultList();
    const tasks = yield* this.#options.linux.tasks.briefs(faults.note);
    return { tasks, faults: faults.texts };
  }

  /** Releases a watched address space that is gone, or that no wanted process has any more. */
  async #review(space: WatchedSpace, owners: readonly TaskBrief[], isWhole: boolean): Promise<void> {
    const { linux, isExact, selection } = this.#options;
    const users = await linux.do(() => attempt(() => linux.tasks.users(space.mm)));
    // Memory that was freed is soon another process's: that one has another number, or began at another time.
    const isDeserted = owners.length === 0 ? isWhole : !owners.some((owner) => space.isOf(owner));
    if (users === 0 || (!isExact && isDeserted)) {
      this.#spaces.delete(space.root);
      this.#gone.set(space.root, space);
      return;
    }
    const wanted = owners.find((owner) => isWanted(selection, owner));
    if (wanted !== undefined) {
      space.name(wanted);
      await space.refresh();
    } else if (owners.length > 0) {
      await space.release();
      this.#spaces.delete(space.root);
    }
  }

  /** Watches the memory of a process that is wanted, if it is not watched already. */
  async #meet(task: TaskBrief, known: Map<bigint, WatchedSpace>): Promise<void> {
    const { linux, selection } = this.#options;
    const owned = known.get(task.mm);
    if (owned !== undefined) return owned.add(task);
    const [root] = (await linux.do(() => attempt(() => linux.tasks.roots(task.mm)))) ?? [];
    const users = await linux.do(() => attempt(() => linux.tasks.users(task.mm)));
    // One whose table has just been another's is met at the next look, which releases that one.
    if (root === undefined || !users || this.#gone.has(root) || this.#spaces.has(root)) return;
    const { owner } = this.#options;
    const space = new WatchedSpace({ linux, session: this.#session!, choice: selection.map, owner }, root, task);
    this.#spaces.set(root, space);
    known.set(task.mm, space);
    await space.refresh();
    this.#say(`${space.tag} is watched, root ${hex(root)}`);
  }

  /** Physical addresses of the words that tell of what may happen next. */
  *#wordsFor(tasks: readonly TaskBrief[]): Steps<Set<number>> {
    const { linux, selection, isExact } = this.#options;
    const words = new Set<number>();
    if (!isExact) return words;
    const { memory } = linux.kernel;
    const { layout, listHead } = linux.tasks;
    const { wordBytes } = memory;
    const add = (va: bigint, byteLength: number = wordBytes) => {
      attempt(() => {
        for (const word of wordsOf(memory.pa(va), byteLength)) words.add(word);
      });
    };
    const isByName = !('pid' in selection.by);
    if (isByName) add(listHead + BigInt(wordBytes));
    for (const brief of tasks) {
      yield;
      const wanted = isWanted(selection, brief);
      if (!wanted && !isByName) continue;
      add(brief.task + BigInt(layout.tasks + wordBytes));
      add(brief.task + BigInt(layout.comm), COMM_BYTES);
      if (wanted) add(brief.task + BigInt(layout.mm));
    }
    for (const { mm } of this.#spaces.values()) {
      add(mm + BigInt(layout.mmStruct.mm_users), 4);
      if (selection.map === undefined) continue;
      const { map_count, total_vm, brk, start_brk, start_stack } = linux.areas.layout.mm;
      for (const offset of [map_count, total_vm, brk, start_brk, start_stack]) add(mm + BigInt(offset));
    }
    return words;
  }

  /** Where the guest runs while it is read, something is always just being changed: only what stays is a fault. */
  #sayFaults(faults: readonly string[]): void {
    const { isExact } = this.#options;
    for (const fault of faults) if (isExact || this.#faults.has(fault)) this.#say(`inconsistent: ${fault}`);
    this.#faults = new Set(faults);
  }

  /** Once: a fault that stays would be told at each look. */
  #say(text: string): void {
    if (this.#said.has(text)) return;
    if (this.#said.size === MAX_SAID) this.#said.clear();
    this.#said.add(text);
    this.#options.onNotice?.(text);
  }
}

const MAX_SAID = 1000;

/** The processes that use each memory. */
function byMemory(tasks: readonly TaskBrief[]): Map<bigint, TaskBrief[]> {
  const owners = new Map<bigint, TaskBrief[]>();
  for (const task of tasks) {
    const others = owners.get(task.mm);
    if (others === undefined) owners.set(task.mm, [task]);
    else others.push(task);
  }
  return owners;
}
