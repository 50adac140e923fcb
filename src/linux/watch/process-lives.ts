/**
 * Tells of processes that begin, become another program, and end. Where the guest is watched exactly it stops at each write to the words
 * that tell of it (see `process-watch`); where it is sampled, processes between two samples are missed.
 */
import type { SourceEvent } from '../../driver/driver.ts';
import type { LinuxGuest } from '../linux-guest.ts';
import { FaultList } from '../memory/fault-list.ts';
import { attempt } from '../memory/guest-fault.ts';
import type { Steps } from '../memory/steps.ts';
import type { TaskBrief } from '../process/task-reader.ts';
import { WordList, wordsOf } from './word-list.ts';

/** `begin`: fork or clone has made it, with the name of its parent. `exec`: another program is in its memory, and about to run; it has its new name. */
export type ProcessLifeKind = 'begin' | 'exec' | 'end';

export interface ProcessLifeEvent {
  readonly kind: ProcessLifeKind;
  readonly process: TaskBrief;
}

export interface ProcessLivesOptions {
  readonly linux: LinuxGuest;
  readonly isExact: boolean;
  readonly vcpuCount: number;
}

/** What a sample does not see of processes. */
export const PROCESSES_UNSEEN = 'processes may come and go between two samples';

interface Known {
  readonly brief: TaskBrief;
  /** It has other memory, in which its new program is not mapped yet. */
  readonly isLoading: boolean;
}

export class ProcessLives {
  readonly #options: ProcessLivesOptions;
  readonly #words: WordList;
  /** By the PID: where another thread than the first runs a program, its task takes the place of the first. */
  #known = new Map<number, Known>();

  constructor(options: ProcessLivesOptions) {
    this.#options = options;
    const { physical, paging } = options.linux.kernel.memory;
    this.#words = new WordList(physical, paging.mode.entryBytes);
  }

  /** From here on. The guest must be stopped. */
  async begin(): Promise<void> {
    await this.#look();
  }

  get blindTo(): string | undefined {
    return this.#options.isExact ? undefined : PROCESSES_UNSEEN;
  }

  words(): Float64Array {
    return this.#words.addresses;
  }

  /** What has happened up to this stop. */
  async update(batch: readonly SourceEvent[]): Promise<readonly ProcessLifeEvent[]> {
    const { linux, isExact, vcpuCount } = this.#options;
    linux.kernel.memory.forget();
    const isSure = isExact && vcpuCount === 1 && !batch.some((said) => said.kind === 'missed' && said.lost === null);
    const isTouched = batch.some((said) => said.kind === 'write' && this.#words.isTouched(said.pa, said.byteLength));
    if (!isTouched && isSure) return [];
    if (!isTouched && isExact && !(await linux.do(() => this.#words.hasChanged()))) return [];
    return this.#look();
  }

  async #look(): Promise<ProcessLifeEvent[]> {
    const { linux } = this.#options;
    const { briefs, isWhole } = await linux.run(() => this.#read());
    const events: ProcessLifeEvent[] = [];
    const known = new Map<number, Known>();
    for (const brief of briefs) {
      const before = this.#known.get(brief.pid);
      const isSame = before?.brief.startTime === brief.startTime;
      if (!isSame && before !== undefined && before.brief.mm !== 0n)
        events.push({ kind: 'end', process: before.brief });
      const now = isSame ? await this.#changed(before, brief, events) : { brief, isLoading: false };
      // One that has given its memory back is over, though its parent has not asked for it yet.
      if (!isSame && brief.mm !== 0n) events.push({ kind: 'begin', process: brief });
      known.set(brief.pid, now);
    }
    for (const [pid, before] of this.#known) {
      if (known.has(pid)) continue;
      // What a list that breaks off does not name may be there all the same.
      if (!isWhole) known.set(pid, before);
      else if (before.brief.mm !== 0n) events.push({ kind: 'end', process: before.brief });
    }
    this.#known = known;
    const words = await linux.run(() => this.#wordsFor(briefs));
    await linux.do(() => this.#words.set(words));
    return events;
  }

  async #changed({ brief: before, isLoading }: Known, brief: TaskBrief, events: ProcessLifeEvent[]): Promise<Known> {
    if (brief.mm === 0n) {
      if (before.mm !== 0n) events.push({ kind: 'end', process: before });
      return { brief, isLoading: false };
    }
    if (!isLoading && before.mm === brief.mm) return { brief, isLoading: false };
    const { linux } = this.#options;
    // The kernel gives the task its new memory first, then its new name; then it maps the program, and sets where its heap begins.
    const heap = brief.mm + BigInt(linux.areas.layout.mm.start_brk);
    const isLoaded = (await linux.do(() => attempt(() => linux.kernel.memory.pointer(heap)))) !== 0n;
    if (isLoaded) events.push({ kind: 'exec', process: brief });
    return { brief, isLoading: !isLoaded };
  }

  *#read(): Steps<{ readonly briefs: readonly TaskBrief[]; readonly isWhole: boolean }> {
    const faults = new FaultList();
    const briefs = yield* this.#options.linux.tasks.briefs(faults.note);
    return { briefs, isWhole: faults.texts.length === 0 };
  }

  *#wordsFor(briefs: readonly TaskBrief[]): Steps<Set<number>> {
    const { linux, isExact } = this.#options;
    const words = new Set<number>();
    if (!isExact) return words;
    const { memory } = linux.kernel;
    const { layout, listHead } = linux.tasks;
    const add = (va: bigint) => {
      attempt(() => {
        for (const word of wordsOf(memory.pa(va), memory.wordBytes)) words.add(word);
      });
    };
    add(listHead + BigInt(memory.wordBytes));
    for (const { task, pid } of briefs) {
      yield;
      add(task + BigInt(layout.tasks + memory.wordBytes));
      add(task + BigInt(layout.mm));
      const known = this.#known.get(pid);
      if (known?.isLoading === true) add(known.brief.mm + BigInt(linux.areas.layout.mm.start_brk));
    }
    return words;
  }
}
