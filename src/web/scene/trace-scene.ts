/** A trace as a scene: replays it once, and reads what its tables map wherever an event says that something has changed. */
import { PtmonError } from '../../core/error.ts';
import { OPT_IN_KINDS, type MonitorEvent, type OptInKind } from '../../core/monitor/events.ts';
import { rootOf } from '../../core/paging/format.ts';
import type { WatchCall } from '../../driver/watch-calls.ts';
import { openTrace, type TraceDriver, type TraceInstant } from '../../drivers/trace/index.ts';
import { openSession, type Session } from '../../session/index.ts';
import { spacePieces } from '../../snapshot/index.ts';
import { unnamed } from '../picture/areas.ts';
import { isSwapped } from '../picture/look.ts';
import type { Run } from '../picture/runs.ts';
import type { Change, Scene, SceneEvent } from '../picture/scene.ts';
import { RecordedSpaces } from './recorded-spaces.ts';
import { isSwapIn, isSwapOut, namesOf, sceneEvent } from './scene-events.ts';
import { type IsSwapped, readRuns, type Span, spanOf } from './space-runs.ts';

/** A watched range without a page in it is a block all the same, up to so many pages. */
const MAX_EMPTY_PAGES = 2048;
const PROT_NONE = 0x100n;
const OPT_IN: readonly string[] = OPT_IN_KINDS;

/** @throws PtmonError as `openTrace`; the reason of the signal when it is aborted */
export async function traceScene(path: string, signal?: AbortSignal): Promise<Scene> {
  const builder = new TraceScene();
  const { driver, script } = openTrace(path, { onInstant: (instant) => builder.instant(instant) });
  const kinds = driver.about.kinds.filter((kind): kind is OptInKind => OPT_IN.includes(kind));
  const session = await openSession({
    driver,
    script,
    kinds,
    ...(signal && { signal }),
    sinks: [{ write: (event) => builder.event(event), end: () => {} }],
    onBatch: () => builder.endStep(),
  });
  try {
    builder.begin(session, driver);
    await builder.endStep();
    await session.run();
    await builder.endRecording();
  } finally {
    await session.close();
  }
  signal?.throwIfAborted();
  return builder.scene(path, driver, kinds);
}

class TraceScene {
  readonly #spaces = new RecordedSpaces();
  #session: Session | undefined;
  #driver: TraceDriver | undefined;
  #calls: WatchCall[] = [];
  #events: MonitorEvent[] = [];
  #notes: string[] = [];
  /** The numbers of swap devices, as entries have them: those that some event names. */
  readonly #swapTypes = new Set<bigint>();
  #hasBegun = false;

  begin(session: Session, driver: TraceDriver): void {
    this.#session = session;
    this.#driver = driver;
  }

  instant({ steps }: TraceInstant): void {
    for (const step of steps) {
      if (step.type === 'call') this.#calls.push(step.call);
      if (step.type === 'note') this.#notes.push(step.text);
    }
  }

  event(event: MonitorEvent): void {
    this.#events.push(event);
  }

  /** All of an instant is processed: reads what the tables map now. */
  async endStep(): Promise<void> {
    const [calls, events, notes] = [this.#calls, this.#events, this.#notes];
    [this.#calls, this.#events, this.#notes] = [[], [], []];
    const changes: Change[] = [];
    const shown: SceneEvent[] = [];
    for (const event of events) {
      if (isSwapIn(event)) this.#swapTypes.add(swapType(event.cause!.oldValue));
      if (isSwapOut(event)) this.#swapTypes.add(swapType(event.cause!.newValue));
    }
    // What begins to be watched has its name from the call.
    for (const call of calls) changes.push(...(await this.#beginWatch(call)));
    for (const event of events) {
      const { index, cleared } = this.#spaces.of(event.root, namesOf(event).space, event.kind === 'root-gone');
      shown.push(sceneEvent(event, index));
      const runs = event.kind === 'root-gone' ? [] : await this.#read(event.root, spanOf(event.va, event.pages));
      changes.push(...cleared, ...this.#spaces.changesBy(event, index, runs));
    }
    if (!this.#hasBegun) {
      this.#hasBegun = true;
      return;
    }
    const note = notes.length === 0 ? {} : { note: notes.join('; ') };
    if (changes.length === 0 && shown.length === 0 && notes.length === 0) return;
    this.#spaces.steps.push({ timeMs: (this.#driver?.timeUs ?? 0) / 1000, changes, events: shown, ...note });
  }

  /** What is on a swap device now was there since its page-out: only a page that is present can go there. */
  async endRecording(): Promise<void> {
    const { mode } = this.#session!.monitor.paging;
    if (this.#swapTypes.size === 0 || !mode.canonical) return;
    const onDevice = (value: bigint, level: number) => level === 1 && this.#swapTypes.has(swapType(value));
    for (const { index, root, span } of this.#spaces.stillOut()) {
      const runs = await this.#read(root, span, onDevice);
      if (runs.some(([, , look]) => isSwapped(look))) this.#spaces.noteSwapped(index, span);
    }
  }

  scene(path: string, { about }: TraceDriver, kinds: readonly OptInKind[]): Scene {
    const captured = about.capture === 'samples' ? 'sampled' : 'exact';
    const missing = ['protection', 'restructure'].filter((kind) => !kinds.includes(kind as OptInKind));
    return {
      kind: 'recording',
      source: path,
      title: about.title === '' ? `Recorded from ${about.source}, ${captured}` : about.title,
      mode: about.paging.mode,
      spaces: this.#spaces.all(),
      steps: this.#spaces.steps,
      ram: [],
      endMs: this.#spaces.steps.at(-1)?.timeMs ?? 0,
      notes: [
        ...(captured === 'sampled' ? ['Sampled: what changed and changed back between two samples is missing.'] : []),
        ...(missing.length === 0
          ? []
          : [`Recorded without --kinds ${missing.join(',')}: the picture misses these changes.`]),
      ],
    };
  }

  /** What a range already has when it begins to be watched. */
  async #beginWatch(call: WatchCall): Promise<Change[]> {
    if (call.kind !== 'monitor' && call.kind !== 'monitorRange') return [];
    const { paging } = this.#session!.monitor;
    const root = rootOf(paging, call.root);
    const byteLength = call.kind === 'monitorRange' ? call.byteLength : 1n;
    const pages = Math.ceil((Number(call.va & 0xfffn) + Number(byteLength)) / 4096);
    const { space: name, area } = namesOf({ root, tags: call.tag === undefined ? [] : [call.tag] });
    const { index, cleared } = this.#spaces.of(root, name);
    const span = spanOf(call.va, pages);
    const runs = await this.#read(root, span);
    const space = this.#spaces.at(index);
    space.pages.push(...unnamed(runs).map((each) => ({ ...each, name: area })));
    if (pages <= MAX_EMPTY_PAGES) space.pages.push({ vpn: span.from, pages, name: area });
    const change = this.#spaces.put(index, span, runs);
    if (!this.#hasBegun) space.initial = [...space.map.runs];
    return this.#hasBegun ? [...cleared, change] : [];
  }

  /** Empty where the trace does not have the tables: they are no longer on a watched walk. */
  async #read(root: number, span: Span, onDevice?: IsSwapped): Promise<Run[]> {
    const { paging } = this.#session!.monitor;
    const snapshot = { description: '', memory: this.#driver!.memory, regions: [], close: async () => {} };
    try {
      return await readRuns((options) => spacePieces(snapshot, { paging, root }, options), span, onDevice);
    } catch (error) {
      if (error instanceof PtmonError && (error.code === 'corrupt-input' || error.code === 'not-recorded')) return [];
      throw error;
    }
  }
}

/** `__swp_type` of 64-bit Linux (arch/x86/include/asm/pgtable_64.h); with PROT_NONE, an entry is of a page in memory. */
function swapType(value: bigint): bigint {
  return (value & PROT_NONE) === 0n ? value >> 59n : -1n;
}
