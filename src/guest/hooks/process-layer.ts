/** What a hook hears of the memory of processes. A hook extends it, and says what it does with the events. */
import type { MonitorEvent } from '../../core/monitor/events.ts';
import type { SourceEvent } from '../../driver/driver.ts';
import { type ProcessSelection, ProcessWatch } from '../../linux/index.ts';
import type { LiveSession } from '../session/live-session.ts';

/** Tells the ranges of one hook from those of another. */
let owners = 0;

export abstract class ProcessLayer {
  /** @internal */
  protected readonly live: LiveSession;
  readonly #watch: ProcessWatch;
  #hasEnded = false;

  /** @internal */
  constructor(live: LiveSession, selection: ProcessSelection) {
    this.live = live;
    this.#watch = new ProcessWatch({
      linux: live.linux,
      selection,
      isExact: live.isExact,
      vcpuCount: live.vcpuCount,
      owner: `hook ${owners++}`,
      onEnd: () => (this.#hasEnded = true),
    });
  }

  /** Watches from now on. The guest must be stopped. @throws PtmonError `bad-argument` where there is no such process @internal */
  protected async begin(): Promise<void> {
    await this.#watch.begin(this.live.session);
    this.live.add(this);
  }

  /** Releases what it watches. The guest must be stopped. @internal */
  release(): Promise<void> {
    this.live.remove(this);
    return this.#watch.end();
  }

  /** Names of the processes that are watched now: `nginx[12]`. */
  get watched(): readonly string[] {
    return this.#watch.watched;
  }

  /** Whether the process has ended: the events that come with it are the last. @internal */
  protected get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** @internal */
  get blindTo(): string | undefined {
    return this.#watch.blindTo;
  }

  /** @internal */
  words(): Float64Array {
    return this.#watch.words();
  }

  /** @internal */
  update(batch: readonly SourceEvent[]): Promise<readonly SourceEvent[]> {
    return this.#watch.update(batch);
  }

  /** @internal */
  label(events: readonly MonitorEvent[]): Promise<readonly MonitorEvent[]> {
    return this.#watch.label(events);
  }

  /** @internal */
  abstract take(events: readonly MonitorEvent[]): Promise<void>;
}
