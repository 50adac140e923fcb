/**
 * From the driver to the sinks: the driver reports a write, and the monitor marks it; its vCPU commits, and the monitor returns what
 * changed; sinks and the iterator get it; the guest runs on. The only place where async meets the core.
 */
import { PtmonError } from '../core/error.ts';
import type { EventTime, MonitorEvent } from '../core/monitor/events.ts';
import type { PageTableMonitor } from '../core/monitor/page-table-monitor.ts';
import type { Paging } from '../core/paging/format.ts';
import type { WriteEvent } from '../driver/driver.ts';
import { retry } from '../driver/retry.ts';
import type { Statistics, Summary } from '../sinks/sink.ts';
import { carryOut } from '../driver/carry-out.ts';
import { makeEventLoopTurn } from '../driver/event-loop-turn.ts';
import { called, namesOf } from './event-names.ts';
import { ObservedMonitor } from './observed-monitor.ts';
import { checkDriver, mayActAtOnce, performFirst, readSource, type SessionOptions } from './options.ts';
import { AtOnce } from './at-once.ts';
import { resolvePaging } from './paging.ts';
import { SinkGroup } from './sink-group.ts';
import { type ProcessedEvent, SourceEvents } from './source-events.ts';
import { EventClock } from './event-clock.ts';
import { failureOf, Tally } from './tally.ts';
import { TrappedEntries } from './trapped-entries.ts';
import type { SessionWatchRequest, Watch } from './watch/watch.ts';
import { WatchLog } from './watch/watch-log.ts';
import { Watches } from './watch/watches.ts';

const RETRIES = 3;

/** Events from one turn of the event loop to the next. */
const PORTION = 1024;

/** How long what is under way may take after the session was told to end, until the source is closed all the same. */
const LET_GO_MS = 2000;

/**
 * Opens a session on a source: then watch addresses, and iterate it or `run` it.
 *
 * @throws PtmonError `bad-argument` where the paging is neither told nor known; what a sink's `begin` throws. The driver is
 * closed then too.
 */
export async function openSession(options: SessionOptions): Promise<Session> {
  checkDriver(options);
  const { driver, recorder, kinds = [], sinks = [] } = options;
  try {
    const paging = resolvePaging(options);
    const group = new SinkGroup(sinks);
    const session = new Session(options, paging, group);
    recorder?.begin({ paging, kinds, ...session.clock });
    await performFirst(session.monitor, options);
    await group.begin({ source: driver.name, mode: paging.mode.name, kinds });
    if (group.failure !== undefined) await session.close();
    return session;
  } catch (error) {
    await driver.close();
    recorder?.close();
    throw error;
  }
}

/**
 * A monitor on a running source. `for await (const event of session)` lets the guest advance only as events are taken, and
 * closes the session however the loop ends.
 */
export class Session implements AsyncIterable<MonitorEvent>, AsyncDisposable {
  /** For embedders: synchronous. Call it while the guest is stopped: before the loop, in its body, or in `onBatch`. */
  readonly monitor: PageTableMonitor;
  readonly #options: SessionOptions;
  readonly #sinks: SinkGroup;
  readonly #tally = new Tally();
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  readonly #events = this.#pump();
  readonly #monitor: ObservedMonitor;
  readonly #sourceEvents: SourceEvents;
  readonly #watches = new Watches(() => this.#advance());
  readonly #clock: EventClock;
  readonly #entries: TrappedEntries;
  readonly #letOthersRun = makeEventLoopTurn();
  /** Undefined where no sink wants it. */
  readonly #watchLog: WatchLog | undefined;
  /** Handles stops before the pump hears of them, where that is possible. */
  readonly #atOnce: AtOnce;
  #taken = false;
  /** `run` takes the events, and does nothing with them. */
  #isDrained = false;
  /** The source was closed although a step of the pump was under way. */
  #closedEarly = false;
  /** The next event, asked for by a watch. */
  #pull: Promise<IteratorResult<MonitorEvent, void>> | undefined;
  #ended: 'finished' | 'stopped' = 'stopped';
  #failure: unknown;
  #closing: Promise<void> | undefined;

  /** @internal */
  constructor(options: SessionOptions, paging: Paging, sinks: SinkGroup) {
    const { driver, recorder, kinds = [], signal, onFault } = options;
    this.#options = options;
    this.#sinks = sinks;
    this.#clock = new EventClock(options.script);
    this.#signal = signal === undefined ? this.#stop.signal : AbortSignal.any([signal, this.#stop.signal]);
    // A consumer that stops reading must not keep the guest stopped.
    const letGo = () => {
      setTimeout(() => {
        this.#closedEarly = true;
        void driver.close();
      }, LET_GO_MS).unref();
    };
    this.#signal.addEventListener('abort', letGo, { once: true });
    this.#monitor = new ObservedMonitor(
      {
        memory: recorder?.follow(readSource(driver)) ?? readSource(driver).memory,
        ...(driver.protection && { protection: driver.protection }),
        paging,
        kinds,
        onFault: (fault) => {
          this.#tally.addFault();
          onFault?.(fault);
        },
      },
      {
        called: (call, bySource) => {
          this.#watches.released(this.#monitor, call, bySource);
          this.#watchLog?.called(call, this.#clock.time);
          if (!bySource) recorder?.called(call);
        },
      },
    );
    this.monitor = this.#monitor;
    this.#entries = new TrappedEntries(this.#monitor);
    this.#sourceEvents = new SourceEvents(this.#monitor, options);
    if (sinks.hearsWatches) this.#watchLog = new WatchLog(this.#monitor);
    const mayTake = mayActAtOnce(options) && sinks.mayLag;
    this.#atOnce = new AtOnce({
      sourceEvents: this.#sourceEvents,
      sinks,
      mayTake: () =>
        mayTake &&
        this.#isDrained &&
        !this.#watches.areRead &&
        this.#watchLog?.isEmpty !== false &&
        !this.#signal.aborted,
      clock: this.#clock,
      mark: (write) => this.#mark(write),
      processed: (event, found) => {
        this.#tally.add(this.#concluded(event, found), found);
        this.#watches.settle();
      },
      areTrapped: () => driver.traps === undefined || this.#entries.areCurrent,
      failed: () => this.#stop.abort(),
    });
  }

  /** When the session began, and the time of the guest's last stop since then. */
  get clock(): { readonly startedAt: string; readonly stopUs: () => number } {
    return { startedAt: this.#clock.startedAt, stopUs: () => this.#clock.stopUs };
  }

  /**
   * Watches an address, or with `byteLength` every page of a range, and fetches what remote memory that takes. Call it while the guest
   * is stopped. A long call lets timers and signals have their turn.
   * @returns a handle: its state, its own events, and `stop`
   * @throws PtmonError as `PageTableMonitor.monitor`, `closed`; the reason of the session's signal: then nothing is watched
   */
  watch(request: SessionWatchRequest): Promise<Watch> {
    return this.#retry(() => this.#watches.open(this.#monitor, request, this.#signal));
  }

  /** The events, once: a session has one consumer beside its sinks. @throws PtmonError `closed` */
  [Symbol.asyncIterator](): AsyncGenerator<MonitorEvent, void, undefined> {
    if (this.#taken || this.#closing !== undefined) {
      throw new PtmonError('closed', 'the session is closed, or it is iterated already: it has one consumer');
    }
    this.#taken = true;
    // A watch may have asked for an event that is on its way.
    return this.#pull === undefined ? this.#events : this.#goOn(this.#pull);
  }

  /** Pumps everything into the sinks, to the end. @throws what the source or a sink throws */
  async run(): Promise<Summary> {
    const events = this[Symbol.asyncIterator]();
    this.#isDrained = true;
    for await (const _event of events);
    return this.summary();
  }

  /** What has passed so far; a copy. */
  statistics(): Statistics {
    return this.#tally.statistics();
  }

  /** The statistics, and how it ended. */
  summary(): Summary {
    const failure = this.#failure ?? this.#sinks.failure;
    if (failure === undefined) return { ended: this.#ended, ...this.#tally.statistics() };
    return { ended: 'failed', failure: failureOf(failure), ...this.#tally.statistics() };
  }

  /**
   * Ends the loop, releases all that is monitored, ends the sinks, closes the driver; after the first call it does nothing.
   * Not to be awaited by a sink or by `onBatch`, which it waits for. @throws what the end of a sink or of a record throws
   */
  async close(): Promise<void> {
    this.#stop.abort();
    // A pump that works finishes its step first; one that waits at a yield, or never began, ends here.
    await this.#events.return();
    await this.#release();
    if (this.#failure === undefined) this.#sinks.rethrow();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async *#pump(): AsyncGenerator<MonitorEvent, void, undefined> {
    const { driver, script, onBatch, system } = this.#options;
    try {
      await this.#beforeItRuns();
      for await (const reported of driver.run(this.#signal, this.#atOnce.take)) {
        const calls = this.#stopped();
        if (calls !== undefined) await calls;
        const rest = this.#isDrained ? await this.#atOnce.restOf(reported) : reported;
        const proved = rest.map((event) => this.#sourceEvents.prove(event));
        const batch = system === undefined ? proved : [...(await system.update(proved)), ...proved];
        for (const event of batch) {
          if (event.kind === 'write') {
            this.#mark(event);
          } else {
            const events = await this.#process(event);
            for (let from = 0; from < events.length; from += PORTION) {
              const portion = events.slice(from, from + PORTION);
              if (!this.#sinks.isEmpty) await this.#sinks.write(portion);
              for (const each of portion) {
                this.#watches.deliver(each);
                yield each;
              }
              const turn = this.#letOthersRun();
              if (turn !== undefined) await turn;
            }
            this.#watches.settle();
            this.#sinks.rethrow();
          }
          const calls = script?.perform(this.monitor, event, this.#signal);
          if (calls !== undefined) await calls;
        }
        // At a stop each turn counts: nothing is awaited that is not there.
        if (onBatch !== undefined) await onBatch(batch);
        const turn = this.#letOthersRun();
        if (turn !== undefined) await turn;
        if (this.#signal.aborted) break;
        await this.#beforeItRuns();
      }
      if (!this.#signal.aborted) this.#ended = script?.ended ?? 'finished';
    } catch (error) {
      if (this.#isAbort(error)) return;
      this.#failure = error;
      throw error;
    } finally {
      await this.#release();
      if (this.#failure === undefined) this.#sinks.rethrow();
    }
  }

  #stopped(): void | Promise<void> {
    const { recorder, script } = this.#options;
    this.#clock.stopped();
    recorder?.stopped();
    return script?.perform(this.monitor, null, this.#signal);
  }

  #mark(write: WriteEvent): void {
    this.#tally.addWrite();
    this.monitor.markDirty(write.pa, write.byteLength, write.view, write.vcpu);
    this.#options.recorder?.heard(write);
  }

  /** Has the monitor process an event of the source. Returns what changed, with times and names. */
  async #process(event: ProcessedEvent): Promise<readonly MonitorEvent[]> {
    const { recorder, script, system } = this.#options;
    if (this.#watchLog !== undefined) await this.#tellWatches();
    const found = await this.#retry(() => this.#sourceEvents.process(event, this.#signal));
    if (found.length > 0) await this.#stamp(found);
    const known = this.#concluded(event, found);
    const events = system === undefined ? called(found, script?.names()) : await system.label(found);
    this.#tally.add(known, events);
    recorder?.heard(known, namesOf(found, events));
    return events;
  }

  /** What is known of an event, once it is processed. */
  #concluded(event: ProcessedEvent, found: readonly MonitorEvent[]): ProcessedEvent {
    const known = this.#sourceEvents.conclude(event, found.length);
    // The receiver of the events may ask how many are missing.
    if (known.kind === 'missed') this.#tally.addLoss(known, this.#clock.stopUs);
    return known;
  }

  /**
   * Takes the next event for the watches that wait for one, unless the session has a consumer of its own: then the guest runs on when
   * that one takes an event, and not before.
   */
  #advance(): void {
    if (this.#taken || this.#pull !== undefined) return;
    const settled = () => {
      this.#pull = undefined;
      this.#watches.wake();
    };
    this.#pull = this.#events.next();
    // What fails ends the session, and is thrown where the watches are read.
    this.#pull.then(settled, settled);
  }

  /** The rest of the events, beginning with one that is on its way. */
  async *#goOn(pull: Promise<IteratorResult<MonitorEvent, void>>): AsyncGenerator<MonitorEvent, void, undefined> {
    try {
      const first = await pull;
      if (first.done !== true) yield first.value;
      yield* this.#events;
    } finally {
      await this.#events.return();
    }
  }

  /** Sinks hear of watches before the events that follow from them. */
  async #tellWatches(): Promise<void> {
    const changes = this.#watchLog?.take() ?? [];
    if (changes.length > 0) await this.#sinks.watch(changes);
  }

  /** The guest is about to run on: what is monitored by now is trapped. */
  async #beforeItRuns(): Promise<void> {
    if (this.#watchLog !== undefined) await this.#tellWatches();
    const { driver, recorder, system } = this.#options;
    const { traps } = driver;
    if (recorder === undefined && traps === undefined) return;
    const { maxEntries = Infinity } = traps ?? {};
    const { all, trapped, untrapped } = this.#entries.lists(maxEntries, system?.words());
    if (recorder !== undefined) await recorder.runsOn(all);
    await traps?.setEntries(trapped, this.monitor.paging.mode.entryBytes, ...untrapped);
  }

  /** Adds the time of the stop to events that nobody else has yet. */
  #stamp(events: { time?: EventTime }[], from = 0): void | Promise<void> {
    const { time } = this.#clock;
    const end = Math.min(events.length, from + PORTION);
    for (let at = from; at < end; at++) events[at]!.time = time;
    if (end < events.length) return Promise.resolve(this.#letOthersRun()).then(() => this.#stamp(events, end));
  }

  #retry<T>(call: () => T | Promise<T>): Promise<T> {
    if (this.#closing !== undefined) return Promise.reject(new PtmonError('closed', 'the session is closed'));
    const { remote } = readSource(this.#options.driver);
    return retry(call, {
      // An abort ends a fetch, and leaves a call that needs none alone: what is in the batch is still processed.
      remote: remote && { fetch: (addresses) => remote.fetch(addresses, this.#signal) },
      retries: this.#options.retries ?? RETRIES,
      onRetry: () => this.#tally.addRetry(),
    });
  }

  /** Ends everything, once. */
  #release(): Promise<void> {
    this.#closing ??= this.#releaseAll();
    return this.#closing;
  }

  async #releaseAll(): Promise<void> {
    this.#stop.abort();
    this.#tally.end({ isSampled: this.#options.driver.isSampled === true });
    // The end of the session ends every watch: sinks need not hear of each.
    const changes = this.#watchLog?.take() ?? [];
    try {
      await carryOut(this.#monitor.asSource(() => this.#monitor.unmonitorAllInSteps()));
      this.#endRecord();
    } finally {
      await this.#atOnce.settled();
      await this.#sinks.watch(changes);
      await this.#sinks.end(this.summary());
      await this.#options.driver.close();
      this.#options.recorder?.close();
      this.#watches.end(this.#failure ?? this.#sinks.failure);
    }
  }

  #endRecord(): void {
    try {
      this.#options.recorder?.end(this.summary());
    } catch (error) {
      this.#failure ??= error;
      throw error;
    }
  }

  /** An abort that was asked for is the end of the loop, not a failure of it. */
  #isAbort(error: unknown): boolean {
    const { aborted, reason } = this.#signal;
    if (this.#closedEarly && error instanceof PtmonError && error.code === 'closed') return true;
    return aborted && (error === reason || (error instanceof Error && error.name === 'AbortError'));
  }
}
