/** A client of QEMU's gdbstub: what watching a guest takes of it, and no more. */
import { PtmonError } from '../../../core/error.ts';
import type { SocketAddress } from '../transport/socket-address.ts';
import { type GdbOptions, openConnection } from './connect.ts';
import type { GdbConnection } from './connection.ts';
import { readDocument } from './document-reader.ts';
import { faultOfReply, unexpectedReply } from './reply/error-reply.ts';
import type { StubFeatures } from './reply/features.ts';
import type { Introduction } from './handshake.ts';
import { type DetachOptions, Leave } from './leave.ts';
import { MemoryReader } from './memory-reader.ts';
import { decodeRegisters, type GdbRegisters } from './reply/registers.ts';
import { LastStop, type StopReply } from './reply/stop-reply.ts';
import { readRegisterDescriptions, type RegisterDescription } from './reply/target-description.ts';
import { formatThreadId, type ThreadId } from './reply/thread-id.ts';
import { SerialQueue } from './serial-queue.ts';
import { listThreads } from './thread-list.ts';
import { type WriteWatch, WriteWatches } from './write-watches.ts';

export interface ContinueOptions {
  /** Interrupts the guest when it is aborted. */
  readonly signal?: AbortSignal;
  /** Told of a stop, in the turn in which it is read; true to run on at once. */
  readonly again?: ((stop: StopReply) => boolean) | undefined;
}

/**
 * The guest is stopped whenever no `continue` is under way: connecting stops it. Calls are carried out one after the other; while the
 * guest runs, those that need it stopped fail. All but `close` and `abandon` throw PtmonError: `source-unavailable` when QEMU is gone
 * or does not answer within the time limit of each command, `corrupt-input` when it sends damaged or senseless packets, `closed` after
 * `close`.
 */
export class GdbClient {
  readonly #connection: GdbConnection;
  readonly #features: StubFeatures;
  readonly #memory: MemoryReader;
  readonly #watches: WriteWatches;
  readonly #breakpoints: WriteWatches;
  readonly #queue = new SerialQueue();
  readonly #last: LastStop;
  /** The thread that `g` speaks of; undefined where that is not known: each stop moves it. */
  #selected: string | undefined;
  #descriptions: readonly RegisterDescription[] | undefined;
  #detached: Promise<void> | undefined;
  /** A `continue` was called and has not returned. */
  #isContinuing = false;
  /** It is to be interrupted. */
  #mustInterrupt = false;
  /** Another client of QEMU has let the guest run. */
  #resumedElsewhere = false;
  /** As they were when they were last asked for. */
  #threads: readonly ThreadId[] = [];
  #interruptions = 0;
  #wasInterrupted = false;
  readonly #leave: Leave;
  /** Whether the guest ran when this client connected; false, too, where the stub does not tell (QEMU 8.1 and newer). */
  readonly ranBefore: boolean;

  private constructor(connection: GdbConnection, { features, stop, ran }: Introduction) {
    this.ranBefore = ran;
    this.#connection = connection;
    this.#features = features;
    this.#last = new LastStop(stop);
    this.#memory = new MemoryReader(connection, features.packetByteLength);
    this.#watches = new WriteWatches(connection);
    this.#breakpoints = new WriteWatches(connection, 1);
    this.#leave = new Leave({
      connection,
      stop: () => this.stop,
      threads: () => this.#threads,
      listThreads: () => this.#listThreads(),
      restoringCommand: () => this.#memory.restoringCommand,
      hasTraps: () => this.#watches.count + this.#breakpoints.count > 0,
    });
  }

  /**
   * Connects to a gdbstub, which stops the guest. Watchpoints that an earlier client left behind go when this one leaves, at the latest.
   *
   * @throws PtmonError `source-unavailable` when there is no connection or no answer (another debugger is connected),
   *   `corrupt-input` when the peer does not speak the protocol; the reason of `options.signal` when it is aborted
   */
  static async connect(address: string | SocketAddress, options: GdbOptions = {}): Promise<GdbClient> {
    const { connection, introduction } = await openConnection(address, options);
    return new GdbClient(connection, introduction);
  }

  /** Where the peer is, for messages. */
  get address(): string {
    return this.#connection.address;
  }

  get features(): StubFeatures {
    return this.#features;
  }

  /** Why the guest stopped last. */
  get stop(): StopReply {
    return this.#last.stop;
  }

  get isRunning(): boolean {
    return this.#isContinuing;
  }

  /** Whether another client of QEMU has let the guest run, as `noteResumed` was told, and it was not stopped by this one since. */
  get resumedElsewhere(): boolean {
    return this.#resumedElsewhere;
  }

  /** Whether an interrupt of this client ended the last `continue`, and neither a watchpoint nor another client. @internal */
  get wasInterrupted(): boolean {
    return this.#wasInterrupted;
  }

  /** How often this client has stopped a guest that another one had let run. @internal */
  get interruptions(): number {
    return this.#interruptions;
  }

  /** Call this when another client of QEMU resumes the guest: the next call that needs it stopped stops it first. */
  noteResumed(): void {
    this.#resumedElsewhere = true;
  }

  /** The guest runs by this client's own command after all. @internal */
  forgetResumed(): void {
    this.#resumedElsewhere = false;
  }

  /** Is in step with QEMU again, the guest stopped, where another client let it run. @internal */
  rejoin(): Promise<void> {
    this.#resumedElsewhere = true;
    return this.#whileStopped(async () => {});
  }

  /** How many write watchpoints this client has set, those of which it is not sure among them. @internal */
  get writeWatchCount(): number {
    return this.#watches.count;
  }

  /** Those write watchpoints. */
  listWriteWatches(): WriteWatch[] {
    return this.#watches.list();
  }

  /** The threads, which are QEMU's vCPUs, in their order. */
  threads(): Promise<ThreadId[]> {
    return this.#whileStopped(async () => [...(await this.#listThreads())]);
  }

  /** The registers of a vCPU; of the one that stopped, unless another is named. */
  readRegisters(thread?: ThreadId): Promise<GdbRegisters> {
    return this.#whileStopped(async () => {
      // QEMU sends the control registers only to those who have asked for the description.
      this.#descriptions ??= await readRegisterDescriptions((name) =>
        readDocument(this.#connection, name, this.#features.packetByteLength),
      );
      const wanted = thread ?? (this.stop.kind === 'stopped' ? this.stop.thread : undefined);
      if (wanted !== undefined) await this.#select(formatThreadId(wanted));
      const reply = await this.#connection.request('g');
      const fault = faultOfReply(reply);
      if (fault !== undefined) {
        throw new PtmonError('source-unavailable', `${this.address}: the registers cannot be read (${fault})`);
      }
      return decodeRegisters(reply, this.#descriptions);
    });
  }

  /**
   * Bytes at a physical address. Nothing tells RAM from holes and devices here: QEMU reads zeros from a hole, and a device may
   * change by being read.
   *
   * @throws PtmonError also `read-failed` where the stub refuses
   */
  async readPhysical(pa: number, byteLength: number): Promise<Uint8Array> {
    return (await this.readPhysicalRanges([{ pa, byteLength }]))[0]!;
  }

  /** As `readPhysical`, many ranges at the cost of few. */
  readPhysicalRanges(ranges: readonly { readonly pa: number; readonly byteLength: number }[]): Promise<Uint8Array[]> {
    const physical = ranges.map(({ pa, byteLength }) => ({ address: BigInt(pa), byteLength }));
    return this.#whileStopped(() => this.#memory.read('physical', physical));
  }

  /** Bytes at a virtual address, translated as the vCPU that stopped does, or the one whose registers were read since. */
  async readVirtual(va: bigint, byteLength: number): Promise<Uint8Array> {
    const [bytes] = await this.#whileStopped(() => this.#memory.read('virtual', [{ address: va, byteLength }]));
    return bytes!;
  }

  /**
   * Sets write watchpoints, for all vCPUs; those that are set already stay as they are. Should it fail, some may be set: setting or
   * clearing them once more puts that right.
   *
   * @returns those that QEMU refused; under TCG none, under KVM all beyond the processor's four
   */
  setWriteWatches(watches: readonly WriteWatch[]): Promise<WriteWatch[]> {
    return this.#whileStopped(() => this.#watches.set(watches));
  }

  /** Clears write watchpoints that this client has set. @returns those that QEMU did not know any more */
  clearWriteWatches(watches: readonly WriteWatch[]): Promise<WriteWatch[]> {
    return this.#whileStopped(() => this.#watches.clear(watches));
  }

  /**
   * Sets breakpoints at virtual addresses, in every address space and for all vCPUs: the guest stops before the instruction there.
   *
   * @returns those that QEMU refused; under TCG none, under KVM all beyond the processor's four debug registers, which watchpoints take, too
   */
  async setBreakpoints(addresses: readonly bigint[]): Promise<bigint[]> {
    const points = addresses.map((va) => ({ va, byteLength: 1 }));
    return (await this.#whileStopped(() => this.#breakpoints.set(points))).map(({ va }) => va);
  }

  /** Clears breakpoints that this client has set. @returns those that QEMU did not know any more */
  async clearBreakpoints(addresses: readonly bigint[]): Promise<bigint[]> {
    const points = addresses.map((va) => ({ va, byteLength: 1 }));
    return (await this.#whileStopped(() => this.#breakpoints.clear(points))).map(({ va }) => va);
  }

  /** Addresses of all breakpoints that this client has set. */
  get breakpoints(): bigint[] {
    return this.#breakpoints.list().map(({ va }) => va);
  }

  /** @internal */
  get breakpointCount(): number {
    return this.#breakpoints.count;
  }

  /** @internal */
  hasBreakpoint(va: bigint): boolean {
    return this.#breakpoints.has({ va, byteLength: 1 });
  }

  /** Writes bytes at a physical address. @throws PtmonError also `read-failed` where the stub refuses the address */
  writePhysical(pa: number, bytes: Uint8Array): Promise<void> {
    return this.#whileStopped(() => this.#memory.writePhysical(BigInt(pa), bytes));
  }

  /**
   * Has one vCPU run one instruction, the others stopped, without interrupts. @returns why it stopped: SIGTRAP, perhaps by a
   * watchpoint that the instruction wrote to
   */
  step(thread: ThreadId): Promise<StopReply> {
    return this.#whileStopped(async () => {
      this.#selected = undefined;
      const { reply } = await this.#connection.resume(`vCont;s:${formatThreadId(thread)}`);
      return this.#stoppedBy(reply, 'the command to step');
    });
  }

  /**
   * Lets the guest run until it stops, however long. An abort of `signal` interrupts it: the call then returns with the stop that
   * came, SIGINT or another that was faster. QEMU also stops it for a pause by QMP (SIGINT) and a shutdown (SIGQUIT).
   *
   * Nothing else may be sent while the guest runs: QEMU takes any byte for an interrupt.
   */
  continue(options: ContinueOptions = {}): Promise<StopReply> {
    if (this.isRunning) return Promise.reject(this.#stillRunning());
    this.#isContinuing = true;
    this.#mustInterrupt = false;
    // Should it stop a guest that another one has let run, it lets it run on.
    return this.#inStep(() => this.#continue(options)).finally(() => (this.#isContinuing = false));
  }

  /** Stops the guest where a `continue` is under way, which then returns with the stop that came. */
  interrupt(): void {
    if (!this.#isContinuing) return;
    this.#mustInterrupt = true;
    this.#connection.interrupt();
  }

  /**
   * Clears all watchpoints, lets the guest run and closes; a `continue` under way returns first. The guest may be left stopped
   * when this fails. May be called again.
   */
  detach(options: DetachOptions = {}): Promise<void> {
    this.#detached ??= this.#detach(options);
    return this.#detached;
  }

  /**
   * The same without waiting for anything, for a process that is about to end, or a QEMU that does not answer: nobody can tell whether
   * it has succeeded.
   * @internal
   */
  abandon(options: DetachOptions = {}): void {
    this.#leave.abandon(options);
  }

  /** Closes the connection and leaves guest and watchpoints as they are: for a QEMU that is gone. May be called again. */
  close(): void {
    this.#connection.close();
  }

  async #listThreads(): Promise<readonly ThreadId[]> {
    this.#threads = await listThreads(this.#connection);
    return this.#threads;
  }

  async #continue({ signal, again }: ContinueOptions): Promise<StopReply> {
    this.#selected = undefined;
    const interrupt = () => this.#connection.interrupt();
    const stopped = this.#connection.resume('vCont;c', again && ((reply) => this.#runsOn(reply, again)));
    signal?.addEventListener('abort', interrupt, { once: true });
    if (signal?.aborted === true || this.#mustInterrupt || this.#detached !== undefined) interrupt();
    try {
      const { reply, isInterrupted } = await stopped;
      this.#wasInterrupted = isInterrupted;
      return this.#stoppedBy(reply, 'the command to continue');
    } finally {
      signal?.removeEventListener('abort', interrupt);
    }
  }

  /** Asks whether the guest is to run on at once, unless something else is to be done first. */
  #runsOn(reply: string, again: NonNullable<ContinueOptions['again']>): boolean {
    if (this.#mustInterrupt || this.#detached !== undefined || this.#resumedElsewhere) return false;
    return this.#last.note(reply) && again(this.#last.stop);
  }

  #stoppedBy(reply: string, command: string): StopReply {
    if (!this.#last.note(reply)) throw this.#unexpected(command, reply);
    return this.#last.stop;
  }

  async #detach(options: DetachOptions): Promise<void> {
    this.#connection.interrupt();
    try {
      await this.#queue.run(async () => {
        if (this.stop.kind === 'stopped') await this.#recover();
        await this.#leave.detach(options);
      });
    } catch (error) {
      // It may find this later.
      this.abandon(options);
      throw error;
    } finally {
      this.#connection.close();
    }
  }

  /** Stops a guest that another client let run. */
  async #recover(): Promise<void> {
    if (!this.#resumedElsewhere) return;
    // A client that resumes it from here on makes it run elsewhere again.
    this.#resumedElsewhere = false;
    this.#selected = undefined;
    try {
      if (await this.#connection.fence()) this.#interruptions++;
    } catch (error) {
      this.#resumedElsewhere = true;
      throw error;
    }
  }

  async #select(thread: string): Promise<void> {
    if (this.#selected === thread) return;
    const reply = await this.#connection.request(`Hg${thread}`);
    if (reply !== 'OK') throw this.#unexpected(`the choice of thread ${thread}`, reply);
    this.#selected = thread;
  }

  /** Does `work` when it is its turn; the guest is stopped for it. Counts if its commands have stopped it for that. */
  #whileStopped<T>(work: () => Promise<T>): Promise<T> {
    return this.#inTurn(async () => {
      const stops = this.#connection.unaskedStops;
      try {
        return await work();
      } finally {
        if (this.#connection.unaskedStops > stops) this.#interruptions++;
      }
    });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    return this.isRunning ? Promise.reject(this.#stillRunning()) : this.#inStep(work);
  }

  /** Does `work` when it is its turn, with a guest that runs by this client's commands alone. */
  #inStep<T>(work: () => Promise<T>): Promise<T> {
    return this.#queue.run(() => (this.#resumedElsewhere ? this.#recover().then(work) : work()));
  }

  #stillRunning(): PtmonError {
    const message = `${this.address}: the guest is running; wait for it to stop, or abort the call that lets it run`;
    return new PtmonError('bad-argument', message);
  }

  #unexpected(what: string, reply: string): PtmonError {
    return unexpectedReply(this.address, what, reply);
  }
}
