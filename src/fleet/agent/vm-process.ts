/** One VM, watched by a process of its own: whatever the guest does to that one, the others and the agent go on. */
import type { ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { errorText } from '../../core/error.ts';
import { appendGap, completeLeftOver, openSegments } from '../journal/append-gap.ts';
import { printable } from '../../sinks/printable.ts';
import type { JournalCounts } from '../journal/journal.ts';
import type { SegmentFacts } from '../journal/segment.ts';
import { Backoff } from './backoff.ts';
import type { WantedVm } from './found-vm.ts';
import { LogLimit } from './log-limit.ts';
import { NO_COUNTS, type WatchOrder, type WorkerReport } from './orders.ts';
import { startChild } from './start-child.ts';

export interface VmProcessOptions {
  readonly vm: WantedVm;
  readonly host: string;
  /** Of the segments. */
  readonly folder: string;
  readonly maxMs: number;
  readonly maxBytes: number;
  readonly memoryMiB: number;
  /** The program that takes the order, and its arguments. */
  readonly program: readonly string[];
  readonly log: (line: string) => void;
}

/** `done`: a replayed recording that has come to its end. */
export type VmState = 'running' | 'waiting' | 'done' | 'stopped' | 'unwatchable';

export interface VmStatus {
  readonly vm: string;
  readonly boot: string;
  readonly state: VmState;
  /** Of its process; null where none runs. */
  readonly pid: number | null;
  readonly restarts: number;
  readonly counts: JournalCounts;
  /** How the last process ended, or why there is none; null where that is no problem. */
  readonly problem: string | null;
}

const STOP_MS = 10_000;
const RETRY_MS = 5000;
const MEMORY_MS = 500;
/** Buffers and compiled code are outside the heap: as much again, and at least so many MiB. */
const LEAST_OUTSIDE_MIB = 128;

export class VmProcess {
  readonly #options: VmProcessOptions;
  readonly #backoff = new Backoff();
  readonly #logLimit: LogLimit;
  #child: ChildProcess | undefined;
  #timer: NodeJS.Timeout | undefined;
  #state: VmState = 'waiting';
  #problem: string | null = null;
  #restarts = 0;
  /** Of the processes before, and of this one. */
  #before: JournalCounts = NO_COUNTS;
  #counts: JournalCounts = NO_COUNTS;
  #ended: Promise<void> = Promise.resolve();
  /** Why this process was ended by force; undefined where it was not. */
  #forced: string | undefined;

  constructor(options: VmProcessOptions) {
    this.#options = options;
    this.#logLimit = new LogLimit((line) => this.#say(line));
  }

  get vm(): WantedVm {
    return this.#options.vm;
  }

  get status(): VmStatus {
    const { name: vm, boot } = this.vm;
    const pid = this.#child?.pid ?? null;
    const counts = sum(this.#before, this.#counts);
    return { vm, boot, state: this.#state, pid, restarts: this.#restarts, counts, problem: this.#problem };
  }

  start(): void {
    const { target, problem = 'unknown' } = this.vm;
    if (target !== undefined) return this.#spawn();
    this.#state = 'unwatchable';
    this.#problem = problem;
    this.#say(problem);
  }

  /** Ends the process, which releases the guest; by force where it does not end in time. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    this.#state = 'stopped';
    const child = this.#child;
    if (child === undefined) return;
    child.kill('SIGTERM');
    const force = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    await this.#ended;
    clearTimeout(force);
  }

  #spawn(): void {
    const { vm, host, folder, maxMs, maxBytes, memoryMiB, program } = this.#options;
    const started = new Date().toISOString();
    const facts: SegmentFacts = { host, vm: vm.name, boot: vm.boot, session: randomUUID(), started };
    const order: WatchOrder = { kind: 'watch', facts, folder, maxMs, maxBytes, rule: vm.rule, target: vm.target! };
    const startedMs = performance.now();
    const child = startChild(program, memoryMiB);
    this.#child = child;
    this.#state = 'running';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => this.#logLimit.take(text));
    child.on('message', (report: WorkerReport) => {
      this.#counts = report.counts;
    });
    // A process that is gone, or could not be made, takes no order: its end is reported below.
    if (child.connected) child.send(order, () => {});
    this.#forced = undefined;
    const memory = setInterval(() => this.#checkMemory(child), MEMORY_MS);
    this.#ended = new Promise((resolve) => {
      child.on('error', (error) => this.#say(error.message));
      child.on('close', (code, signal) => {
        clearInterval(memory);
        this.#hasEnded(facts, this.#forced ?? code ?? signal, performance.now() - startedMs);
        resolve();
      });
    });
  }

  #hasEnded(facts: SegmentFacts, how: number | string | null, ranMs: number): void {
    this.#child = undefined;
    this.#before = sum(this.#before, this.#counts);
    this.#counts = NO_COUNTS;
    this.#complete(facts, how);
    if (this.#state === 'stopped') return;
    if (how === 0 && this.vm.target?.kind === 'trace') {
      this.#state = 'done';
      return;
    }
    this.#state = 'waiting';
    this.#problem = how === 0 ? null : `ended with ${how}`;
    const waitMs = this.#backoff.after(ranMs);
    this.#say(`the watch ended with ${how}; it begins again in ${waitMs / 1000} s`);
    this.#timer = setTimeout(() => {
      this.#restarts++;
      this.#spawn();
    }, waitMs);
  }

  /** Node limits its heap; what is outside it, a guest could make large as well. */
  #checkMemory(child: ChildProcess): void {
    const { memoryMiB } = this.#options;
    const limit = memoryMiB + Math.max(memoryMiB, LEAST_OUTSIDE_MIB);
    const used = anonymousMiB(child.pid);
    if (used <= limit || this.#forced !== undefined) return;
    this.#forced = `SIGKILL, because it took ${Math.round(used)} MiB of memory (memoryMiB ${memoryMiB} allows ${limit})`;
    child.kill('SIGKILL');
  }

  /** A process that ends by itself has told of all that it lost, and leaves nothing open. A disk that is full may have room later. */
  #complete(facts: SegmentFacts, how: number | string | null): void {
    const { folder } = this.#options;
    const gap = `the watching process ${typeof how === 'string' ? `was ended by ${how}` : `exited with code ${how}`}`;
    try {
      const left = openSegments(folder, facts.session);
      if (left.length === 0 && typeof how === 'string') appendGap(folder, facts, gap);
      completeLeftOver(left, gap);
    } catch (error) {
      this.#say(`the journal: ${errorText(error)}`);
      setTimeout(() => this.#complete(facts, how), RETRY_MS).unref();
    }
  }

  #say(line: string): void {
    this.#options.log(`VM ${printable(this.vm.name)}: ${line}`);
  }
}

/** 0 where the process is gone, or the system does not tell. */
function anonymousMiB(pid: number | undefined): number {
  try {
    return Number(/^RssAnon:\s*(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}

function sum(a: JournalCounts, b: JournalCounts): JournalCounts {
  return {
    events: a.events + b.events,
    limited: a.limited + b.limited,
    unwritten: a.unwritten + b.unwritten,
  };
}
