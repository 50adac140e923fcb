/**
 * Resumes the guest and waits for its stops, beside other clients of QEMU that do the same.
 *
 * A client that pauses a guest, saves it or migrates it wants it stopped until that client resumes it: this one reads it meanwhile, and
 * does not resume it. QMP reports every stop (STOP) and every run (RESUME), whichever client caused it; only the state says
 * which did: qapi/run-state.json.
 */
import { setTimeout } from 'node:timers/promises';
import type { PtmonError } from '../../../../core/error.ts';
import type { GdbClient } from '../../gdb/client.ts';
import { GDB_SIGNAL, type StopReply } from '../../gdb/reply/stop-reply.ts';
import type { GuestEnd } from '../../guest-end.ts';
import type { ThreadId } from '../../gdb/reply/thread-id.ts';
import type { QmpClient } from '../../qmp/client.ts';
import type { QmpEvent } from '../../qmp/messages.ts';
import { isUnderWay } from '../../qmp/migration.ts';
import { isBroughtAboutByUs, isMeantToRun, readRunState } from '../../qmp/run-state.ts';
import type { Guard } from '../../release/guard.ts';
import { Migrations } from './migrations.ts';
import type { RunNotice } from './run-notice.ts';
import type { NextOptions, RunsOn, Stop } from './stop.ts';
import { StallClock } from './stall-clock.ts';
import { BreakpointSteps, isAtBreakpoint } from './stepping.ts';
import { withinTime } from './within-time.ts';
import { mayRunAfterUs, releaseGuest } from '../../release/release-guest.ts';

/** How long QEMU may take to tell the guest's state when it is left. */
const LAST_LOOK_MS = 1000;
/** How long a guest that another client has resumed runs before it is looked at, unless a watchpoint stops it. */
const QUIET_MS = 500;
/** How much later than RESUME, on its own socket, the reply about the stop before it may be read. */
const REPLY_MS = 20;
/** A migration takes longer than that from its last step to its end. */
const MOMENT_MS = 50;
/** How long a gdbstub may take to detach, and then each answer to a second attempt. */
const DETACH_MS = 2000;
const RELEASE_MS = 700;

export interface RunControlParts {
  readonly qmp: QmpClient;
  readonly gdb: GdbClient;
  readonly end: GuestEnd;
  /** QEMU's word for where the guest stood before the gdbstub was connected to. */
  readonly stateBefore: string;
  readonly onNotice?: ((notice: RunNotice) => void) | undefined;
  /** QEMU reports migrations by itself until this is called; undefined where it has to be asked. */
  readonly stopReports?: (() => Promise<void>) | undefined;
  /** Releases the guest where this process ends before `letGo` has. */
  readonly guard?: Guard;
}

export class RunControl {
  readonly #parts: RunControlParts;
  /** Undefined where no other client wants the guest stopped. */
  #heldAs: string | undefined;
  #said: RunNotice = { kind: 'free' };
  /** How often anybody has let the guest run since it was looked at. */
  #unseenRuns = 0;
  /** How often this client has let the guest run, and those of others that are known; and how often anybody has. */
  #ownRuns = 0;
  #runs = 0;
  #changes = 0;
  #knownInterruptions = 0;
  /** Which of all runs a command of ours has ended. */
  #interruptedRun = -1;
  #stoppedSinceMs = performance.now();
  readonly #migrations: Migrations;
  readonly #stalls = new StallClock(MOMENT_MS);
  #onChange = () => {};
  /** The run that is under way, or the next one, is to end. */
  #isInterrupted = false;
  /** Ends runs when it is aborted. One listener serves all runs: to make a signal of several takes longer than the rest of a stop. */
  #halt: AbortSignal | undefined;
  readonly #halted = () => this.#parts.gdb.interrupt();
  readonly #steps: BreakpointSteps;
  readonly #abandon = () => this.#parts.gdb.abandon({ leaveStopped: this.isHeld });

  constructor(parts: RunControlParts) {
    this.#parts = parts;
    this.#migrations = new Migrations(parts.qmp, parts.stopReports !== undefined);
    this.#steps = new BreakpointSteps(parts.gdb, () => void this.#ownRuns++);
    this.#setHeld(isMeantToRun(parts.stateBefore) ? undefined : parts.stateBefore);
    // Whatever ends this process, the guest resumes.
    process.on('exit', this.#abandon);
  }

  /** Whether another client wants the guest stopped. */
  get isHeld(): boolean {
    return this.#heldAs !== undefined;
  }

  /** The guest is to stay stopped when it is released, as if another client had paused it. */
  leaveStopped(): void {
    this.#setHeld('paused');
  }

  /** Stops the guest, unless another client has paused it: `next` returns at once, or the next time that it is called. */
  interrupt(): void {
    this.#isInterrupted = true;
    this.#parts.gdb.interrupt();
    if (this.isHeld) this.#onChange();
  }

  /** The guest was told to run, and does by now, or another client wants it stopped; a QEMU that does not answer is not waited for. */
  async untilRunning(): Promise<void> {
    const { qmp } = this.#parts;
    const endMs = performance.now() + LAST_LOOK_MS;
    while (!this.isHeld && performance.now() < endMs) {
      const state = await readRunState(qmp, { timeoutMs: LAST_LOOK_MS }).catch(() => undefined);
      if (state === 'running' || state === undefined) return;
      await setTimeout(5);
    }
  }

  /** A vCPU is stopped at a breakpoint: it runs the instruction there, alone, before the guest runs on. */
  stoppedAtBreakpoint(thread: ThreadId, va: bigint): void {
    this.#steps.stoppedAt(thread, va);
  }

  /** To be told of QEMU's events, from the moment on that the gdbstub was connected to. */
  hear({ name, data }: QmpEvent): void {
    if (name === 'MIGRATION') this.#migration(isUnderWay(data['status']));
    if (name !== 'STOP' && name !== 'RESUME') return;
    this.#changes++;
    if (name === 'RESUME' && ++this.#runs > this.#ownRuns) this.#letRunByAnother();
    this.#onChange();
  }

  /**
   * The next stop of the guest. Resumes it for that, or waits until no other client keeps it paused.
   *
   * @returns undefined where the guest has ended, or `halt` is aborted
   * @throws PtmonError as the clients
   */
  async next(halt: AbortSignal, { isMoving = false, runsOn }: NextOptions = {}): Promise<Stop | undefined> {
    const { end } = this.#parts;
    try {
      return await this.#next(halt, isMoving, runsOn);
    } catch (error) {
      if (end.isShutDown) return undefined;
      throw end.failure ?? error;
    }
  }

  async #next(halt: AbortSignal, isMoving: boolean, runsOn: RunsOn | undefined): Promise<Stop | undefined> {
    const { gdb } = this.#parts;
    while (!halt.aborted) {
      if (this.#heldAs !== undefined) this.#say({ kind: 'held', state: this.#heldAs });
      // Nothing is sent to the stub while another client has the guest paused: it would stop a guest that they have just resumed.
      const isStopped = this.isHeld || !gdb.resumedElsewhere;
      if (isStopped && this.#unseenRuns > 0) return this.#look(undefined);
      if (this.isHeld && this.#isInterrupted) {
        this.#isInterrupted = false;
        // It has not run since it was looked at.
        return { reply: undefined, isSure: true };
      }
      if (this.isHeld) {
        await this.#change(halt);
      } else if (gdb.resumedElsewhere) {
        await this.#untilStopped(halt, isMoving);
      } else if (this.isFresh() || !(await this.#hasMoved())) {
        if (!isMoving) this.#say({ kind: 'free' });
        const reply = await this.#run(halt, runsOn);
        if (reply === undefined) return undefined;
        // Else another client has resumed it before its state could be read.
        if (!gdb.resumedElsewhere) return this.#look(reply);
      }
    }
    return undefined;
  }

  /**
   * Whether QEMU or another client has done something with the guest, while it was stopped by us, after which it must not be resumed. One
   * that has migrated goes on at its new host. Asked only after more than a moment: an answer takes as long as a stop.
   */
  async #hasMoved(): Promise<boolean> {
    const state = await readRunState(this.#parts.qmp);
    // What follows the answer is as quick as at any stop.
    this.#stoppedSinceMs = performance.now();
    if (!isBroughtAboutByUs(state)) this.#setHeld(state);
    return this.isHeld;
  }

  /** As `Migrations.areUnderWay`. */
  isMigrating(): boolean | Promise<boolean> {
    return this.#migrations.areUnderWay();
  }

  /** As `next`, without a stop of ours before the migration is over: no watchpoint may be set. */
  async nextAfterMigration(halt: AbortSignal): Promise<Stop | undefined> {
    const over = new AbortController();
    const poll = this.#migrations.untilOver(() => over.abort());
    try {
      this.#say({ kind: 'migrating' });
      const stop = await this.next(AbortSignal.any([halt, over.signal]), { isMoving: true });
      return halt.aborted ? undefined : (stop ?? this.#look(undefined));
    } finally {
      this.#stoppedSinceMs = -Infinity;
      poll.end();
    }
  }

  /**
   * Detaches: the guest runs on, unless another client wants it stopped. Where the gdbstub does not detach in time, a new connection
   * does that, or QMP.
   *
   * @throws PtmonError where it may have been left stopped, or with watchpoints
   */
  async letGo(): Promise<void> {
    const { qmp, gdb, guard, end } = this.#parts;
    try {
      await withinTime(this.#detach(), DETACH_MS, () => gdb.abandon({ leaveStopped: this.isHeld }));
      guard?.done();
    } catch (error) {
      // Nothing is left of a guest that has ended.
      if (end.isShutDown) return guard?.done();
      await this.#releaseAnew(qmp, error);
      guard?.done();
    } finally {
      this.#stalls.close();
      this.#halt?.removeEventListener('abort', this.#halted);
      process.off('exit', this.#abandon);
    }
  }

  async #detach(): Promise<void> {
    const { qmp, gdb } = this.#parts;
    if (gdb.resumedElsewhere) await gdb.rejoin().catch(() => {});
    const state = await readRunState(qmp, { timeoutMs: LAST_LOOK_MS }).catch(() => undefined);
    if (state !== undefined && !isBroughtAboutByUs(state)) this.#setHeld(state);
    await this.#parts.stopReports?.();
    await gdb.detach({ leaveStopped: this.isHeld });
  }

  /** @throws `cause`, and what is left to do, where the guest may be stopped or stop again */
  async #releaseAnew(qmp: QmpClient, cause: unknown): Promise<void> {
    const { gdb } = this.#parts;
    const mayRun = mayRunAfterUs(this.isHeld);
    const { failure, after } = await releaseGuest({ gdb: gdb.address, qmp, mayRun, timeoutMs: RELEASE_MS });
    if (failure === undefined) return;
    if (after === undefined && isNotListening(failure)) return;
    this.#say({ kind: 'left', state: after });
    throw cause;
  }

  #look(reply: StopReply | undefined): Stop {
    const isSure = this.#unseenRuns === 1;
    this.#unseenRuns = 0;
    return { reply, isSure };
  }

  async #run(halt: AbortSignal, runsOn: RunsOn | undefined): Promise<StopReply | undefined> {
    const { gdb } = this.#parts;
    this.#unseenRuns++;
    this.#knownInterruptions = gdb.interruptions;
    const stepped = this.#steps.areDue ? await this.#steps.run() : undefined;
    if (stepped === undefined) this.#ownRuns++;
    this.#stalls.start();
    this.#stoppedSinceMs = performance.now();
    const reply = stepped ?? (await this.#continue(halt, runsOn));
    if (reply.kind !== 'stopped' || reply.signal === GDB_SIGNAL.quit) return undefined;
    const isOurs = reply.watch !== undefined || isAtBreakpoint(reply, gdb) || gdb.wasInterrupted;
    this.#isInterrupted = false;
    // A stop that was read late may have come at any time.
    const isOld = this.#stalls.hasStalled() || this.#stoppedSinceMs === -Infinity;
    this.#stoppedSinceMs = isOld ? -Infinity : performance.now();
    if (!isOurs) await this.#findHeld();
    return reply;
  }

  /** Whether the guest is to run on at once, and nobody but `runsOn` need be asked: what `#next` and `#run` look at else. */
  #runsOn(reply: StopReply, halt: AbortSignal, runsOn: RunsOn): boolean {
    if (reply.kind !== 'stopped' || reply.watch === undefined) return false;
    if (this.isHeld || this.#isInterrupted || halt.aborted || this.#unseenRuns !== 1 || this.#migrations.mayBeUnderWay)
      return false;
    const atMs = performance.now();
    if (this.#stalls.hasStalled(atMs) || this.#stoppedSinceMs === -Infinity) return false;
    this.#stoppedSinceMs = atMs;
    if (!runsOn({ reply, isSure: true }, atMs)) return false;
    this.#ownRuns++;
    this.#stoppedSinceMs = performance.now();
    this.#stalls.start(this.#stoppedSinceMs);
    return true;
  }

  /** Whether the guest has been stopped for no more than a moment. */
  isFresh(now = performance.now()): boolean {
    return now - this.#stoppedSinceMs < MOMENT_MS;
  }

  #continue(halt: AbortSignal, runsOn: RunsOn | undefined): Promise<StopReply> {
    const { gdb } = this.#parts;
    if (this.#halt !== halt) {
      this.#halt?.removeEventListener('abort', this.#halted);
      halt.addEventListener('abort', this.#halted, { once: true });
      this.#halt = halt;
    }
    const again = runsOn && ((reply: StopReply) => this.#runsOn(reply, halt, runsOn));
    const stopped = gdb.continue({ again });
    if (this.#isInterrupted || halt.aborted) gdb.interrupt();
    return stopped;
  }

  /**
   * Another client has resumed the guest. Our watchpoints stop it as ever, but from version 8.1 on QEMU reports that to QMP alone. Where
   * none does for a while it is stopped all the same, and everything is compared (rule E1): memory may have changed before it was resumed.
   * Not at once: a client that pauses it again just then would take our stop for its own.
   *
   * @param isMoving a migration is not to be disturbed
   */
  async #untilStopped(halt: AbortSignal, isMoving: boolean): Promise<void> {
    const { gdb } = this.#parts;
    const changes = this.#changes;
    await this.#findHeld();
    if (this.isHeld || !gdb.resumedElsewhere) return;
    const quiet = isMoving ? halt : AbortSignal.any([halt, AbortSignal.timeout(QUIET_MS)]);
    if (changes === this.#changes) await this.#change(quiet);
    if (!halt.aborted && !(quiet.aborted && changes === this.#changes)) return;
    await gdb.rejoin();
    await this.#findHeld();
  }

  /** Asks where the guest stands, until no change has crossed the answer. */
  async #findHeld(): Promise<void> {
    const { qmp, gdb } = this.#parts;
    let state: string;
    let changes: number;
    do {
      changes = this.#changes;
      state = await readRunState(qmp);
    } while (changes !== this.#changes);
    const hasInterrupted = gdb.interruptions > this.#knownInterruptions;
    if (state === 'paused' && hasInterrupted) this.#interruptedRun = this.#runs;
    this.#knownInterruptions = gdb.interruptions;
    if (state === 'running') return gdb.noteResumed();
    const isOurs = isMeantToRun(state) || (state === 'paused' && this.#interruptedRun === this.#runs);
    // Before the next await: a client that resumes it meanwhile takes this back.
    this.#setHeld(isOurs ? undefined : state);
    if (isOurs && gdb.resumedElsewhere) await gdb.rejoin();
  }

  #letRunByAnother(): void {
    // The next that is one too many is of another again.
    this.#ownRuns = this.#runs;
    this.#setHeld(undefined);
    this.#unseenRuns++;
    this.#parts.gdb.noteResumed();
    this.#expectStopReply(this.#ownRuns);
  }

  /**
   * QEMU reports a stop to the gdbstub before the guest is resumed, but none for a guest that is saved or restored (gdbstub.c,
   * gdb_vm_state_change: RUN_STATE_SAVE_VM, RUN_STATE_RESTORE_VM). Our command to continue then still waits, and the guest runs by it.
   */
  #expectStopReply(run: number): void {
    const { gdb } = this.#parts;
    if (!gdb.isRunning) return;
    globalThis.setTimeout(() => {
      if (!gdb.isRunning || this.#ownRuns !== run || this.isHeld) return;
      gdb.forgetResumed();
      this.interrupt();
    }, REPLY_MS);
  }

  /** Nothing may be trapped from its beginning on; a guest that has moved must not be resumed. */
  #migration(isUnderWay: boolean): void {
    if (this.#migrations.hear(isUnderWay) && this.#parts.gdb.isRunning) this.interrupt();
    this.#stoppedSinceMs = -Infinity;
  }

  #setHeld(state: string | undefined): void {
    this.#heldAs = state;
    this.#parts.guard?.setHeld(this.isHeld);
  }

  /** Says what is new of it. */
  #say(notice: RunNotice): void {
    const isNew = notice.kind !== this.#said.kind;
    this.#said = notice;
    if (isNew) this.#parts.onNotice?.(notice);
  }

  /** Resolves with the next event of QEMU that tells of a change, or when `signal` is aborted. */
  async #change(signal: AbortSignal): Promise<void> {
    const halted = () => this.#onChange();
    signal.addEventListener('abort', halted, { once: true });
    await new Promise<void>((resolve) => {
      this.#onChange = resolve;
      if (signal.aborted) resolve();
    });
    signal.removeEventListener('abort', halted);
  }
}

/** Whether no process listens on a socket any more: QEMU has ended. */
function isNotListening({ cause }: PtmonError): boolean {
  const code = (cause as { readonly code?: unknown } | undefined)?.code;
  return code === 'ECONNREFUSED' || code === 'ENOENT';
}
