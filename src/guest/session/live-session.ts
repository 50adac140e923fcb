/**
 * A live guest that is watched: one session, which several handles share. It runs by itself; where a handle's reader or handler looks at
 * an event, the guest is stopped until it has finished.
 */
import { setMaxListeners } from 'node:events';
import process from 'node:process';
import { PtmonError } from '../../core/error.ts';
import { OPT_IN_KINDS } from '../../core/monitor/events.ts';
import {
  openQemu,
  openQemuSampling,
  QemuDriver,
  type QemuSamplingDriver,
  type QemuSamplingOptions,
} from '../../drivers/qemu/index.ts';
import type { LinuxGuest } from '../../linux/index.ts';
import { openSession, type Session } from '../../session/index.ts';
import { Moment } from '../moment.ts';
import { type EventLayer, Layers } from './layers.ts';
import { unlessAborted } from './unless-aborted.ts';

export interface LiveSessionOptions {
  readonly qmp: string;
  /** Without it the guest is sampled. */
  readonly gdb: string | undefined;
  /** Its watchpoints are debug registers: the guest is sampled, and they are left to breakpoints. */
  readonly isKvm: boolean;
  /** Of a guest that is sampled without a gdbstub. */
  readonly proof: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** What takes part in a session beside the layers. */
export interface StopHandler {
  /** Called at each stop, when its events have been delivered and before the guest runs on. */
  atStop(): Promise<void>;
}

/** Reads events while the guest is stopped at them. */
export interface Reader {
  /** The guest does not wait for it any more, until it asks for an event again. */
  release(): void;
}

/** What `open` has connected. */
interface LiveParts {
  readonly driver: QemuDriver | QemuSamplingDriver;
  readonly session: Session;
  readonly layers: Layers;
  readonly linux: LinuxGuest;
  readonly moment: Moment;
}

export class LiveSession {
  readonly session: Session;
  readonly linux: LinuxGuest;
  readonly moment: Moment;
  readonly #driver: QemuDriver | QemuSamplingDriver;
  readonly #layers: Layers;
  readonly #handlers = new Set<StopHandler>();
  readonly #readers = new Set<Reader>();
  readonly #onEnd = new Set<(failure: unknown) => void>();
  /** Readings of the stopped guest that are under way. */
  readonly #readings = new Set<Promise<unknown>>();
  #queue: (() => void)[] = [];
  #isStopped = true;
  #pump: Promise<void> | undefined;
  #isClosed = false;
  readonly #released = new AbortController();

  private constructor({ driver, session, layers, linux, moment }: LiveParts) {
    this.#driver = driver;
    this.session = session;
    this.#layers = layers;
    this.linux = linux;
    this.moment = moment;
    // Any number of readings may be under way.
    setMaxListeners(0, this.released);
  }

  /**
   * Connects; the guest is stopped until `start`.
   *
   * @throws PtmonError as the drivers; where no Linux is found; `source-unavailable` where there is no proof, saying what is missing
   */
  static async open({ qmp, gdb, isKvm, proof, signal }: LiveSessionOptions): Promise<LiveSession> {
    const limits = signal === undefined ? {} : { signal };
    const driver =
      gdb === undefined
        ? await openSampling({ qmp, proof, ...limits })
        : await openQemu({
            qmp,
            gdb,
            whenTooMany: 'sample',
            debugRegisters: isKvm,
            sparesDebugRegisters: true,
            onMissedWrites: (notice) => {
              if (notice.kind === 'sampling' && !isKvm)
                process.emitWarning(`${qmp}: ${notice.why}: the guest is watched by samples from now on`);
            },
            ...limits,
          });
    const opened: { live?: LiveSession } = {};
    const layers = new Layers(() => opened.live?.stopped());
    const session = await openSession({
      driver,
      system: layers,
      // What a handle does not ask for it does not deliver.
      kinds: OPT_IN_KINDS,
      ...limits,
      onBatch: () => opened.live?.atStop(),
    });
    try {
      const { memory, registers, remote, memorySource } = driver;
      const source = {
        description: memorySource,
        memory,
        registers,
        ...(remote && { remote }),
        ...('ram' in driver && { regions: driver.ram }),
      };
      const moment = new Moment(source, session.monitor.paging, signal);
      const linux = await moment.linux();
      opened.live = new LiveSession({ driver, session, layers, linux, moment });
      return opened.live;
    } catch (error) {
      await session.close();
      throw error;
    }
  }

  /** Aborted when the session is over. */
  get released(): AbortSignal {
    return this.#released.signal;
  }

  /** Whether each write to a watched table stops the guest. */
  get isExact(): boolean {
    return this.#driver instanceof QemuDriver && !this.#driver.isSampling;
  }

  get vcpuCount(): number {
    return this.#driver.registers.vcpuCount;
  }

  /** What breakpoints and writing take. @throws PtmonError `bad-argument` where the guest is sampled */
  get exactDriver(): QemuDriver {
    if (this.#driver instanceof QemuDriver) return this.#driver;
    throw new PtmonError('bad-argument', 'this guest is sampled: breakpoints and writes need the gdbstub (--gdb)');
  }

  get isIdle(): boolean {
    return this.#layers.isEmpty && this.#handlers.size === 0;
  }

  add(layer: EventLayer): void {
    this.#layers.add(layer);
  }

  remove(layer: EventLayer): void {
    this.#layers.remove(layer);
  }

  addHandler(handler: StopHandler): void {
    this.#handlers.add(handler);
  }

  removeHandler(handler: StopHandler): void {
    this.#handlers.delete(handler);
  }

  addReader(reader: Reader): void {
    this.#readers.add(reader);
  }

  removeReader(reader: Reader): void {
    this.#readers.delete(reader);
  }

  /** @param end called once, when the session is over */
  onEnd(end: (failure: unknown) => void): void {
    this.#onEnd.add(end);
  }

  /** A script waits for what takes a running guest: no reader keeps it stopped. */
  letRun(): void {
    for (const reader of this.#readers) reader.release();
    this.start();
  }

  /** Lets the guest run, from now on whenever nothing waits for it to stay stopped. */
  start(): void {
    this.#pump ??= this.#run();
  }

  /**
   * Does `work` while the guest is stopped: now, if it is, else it is stopped for that.
   *
   * @throws what `work` throws; PtmonError `closed` where the session ends first
   */
  async paused<T>(work: () => Promise<T>): Promise<T> {
    if (!this.#isStopped) await this.#nextStop();
    const reading = unlessAborted(this.released, work());
    this.#readings.add(reading);
    try {
      return await reading;
    } finally {
      this.#readings.delete(reading);
    }
  }

  /**
   * Releases the guest. May be called again.
   *
   * @param leaveStopped leaves it stopped as it is now
   * @throws what ended the session, if it failed
   */
  async close(leaveStopped = false): Promise<void> {
    if (leaveStopped) await this.paused(async () => this.exactDriver.leaveStopped());
    this.#end(undefined);
    await this.session.close();
    await this.#pump;
  }

  /** What the session does at the end of a stop. */
  async atStop(): Promise<void> {
    for (const handler of [...this.#handlers]) await handler.atStop();
    while (this.#queue.length > 0 || this.#readings.size > 0) {
      const queue = this.#queue;
      this.#queue = [];
      for (const begin of queue) begin();
      // What one reading leads to may begin another in the next turn of the event loop.
      await new Promise((resolve) => setImmediate(resolve));
      await Promise.allSettled([...this.#readings]);
    }
    this.#isStopped = false;
  }

  /** The session has begun to process a stop. */
  stopped(): void {
    this.#isStopped = true;
    this.linux.kernel.memory.forget();
  }

  async #nextStop(): Promise<void> {
    if (this.#isClosed) throw isOver();
    const stop = new Promise<void>((resolve) => this.#queue.push(resolve));
    if (this.#driver instanceof QemuDriver) this.#driver.interrupt();
    await stop;
    if (this.#isClosed) throw isOver();
  }

  async #run(): Promise<void> {
    let failure: unknown;
    this.#isStopped = false;
    try {
      await this.session.run();
    } catch (error) {
      failure = error;
    }
    this.#end(failure);
  }

  /** Readers and handlers that the guest waits for must not keep it. */
  #end(failure: unknown): void {
    this.#isClosed = true;
    this.#released.abort(isOver());
    for (const begin of this.#queue) begin();
    for (const end of this.#onEnd) end(failure);
    this.#onEnd.clear();
  }
}

async function openSampling(options: QemuSamplingOptions): Promise<QemuSamplingDriver> {
  const driver = await openQemuSampling(options);
  const { whyUnproved } = driver;
  if (whyUnproved === undefined) return driver;
  await driver.close();
  throw new PtmonError('source-unavailable', `no proof that nothing is missed between samples: ${whyUnproved}`);
}

export function isOver(): PtmonError {
  return new PtmonError('closed', 'the guest is no longer watched: it has ended, or was released');
}
