/** A trace as a scene: replays it once, and reads what its tables map wherever an event says that something has changed. */
import { hex } from '../../core/address/va.ts';
import { PtmonError } from '../../core/error.ts';
import type { MonitorEvent, OptInKind } from '../../core/monitor/events.ts';
import { rootOf } from '../../core/paging/format.ts';
import type { WatchCall } from '../../driver/watch-calls.ts';
import { openTrace, type TraceDriver, type TraceInstant } from '../../drivers/trace/index.ts';
import { openSession, type Session } from '../../session/index.ts';
import { spacePieces } from '../../snapshot/index.ts';
import { arrangeAreas, type NamedPages, unnamed } from '../picture/areas.ts';
import { SWAPPED_LOOK } from '../picture/look.ts';
import { type Run, RunMap } from '../picture/runs.ts';
import type { Area, Change, Scene, SceneEvent, Space, Step } from '../picture/scene.ts';
import { isSwapIn, isSwapOut, namesOf, pidIn, sceneEvent } from './scene-events.ts';
import { readRuns, type Span, spanOf } from './space-runs.ts';

/** A watched range without a page in it is a block all the same, up to so many pages. */
const MAX_EMPTY_PAGES = 2048;
const OPT_IN: readonly string[] = ['protection', 'restructure', 'root-gone'] satisfies OptInKind[];

interface BuiltSpace {
  readonly root: number;
  name: string;
  readonly map: RunMap;
  readonly initial: readonly Run[];
  /** All pages that it ever had, and the names that events gave them. */
  readonly pages: NamedPages[];
}

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
  } finally {
    await session.close();
  }
  signal?.throwIfAborted();
  return builder.scene(path, driver, kinds);
}

class TraceScene {
  readonly #spaces: BuiltSpace[] = [];
  /** The index of the space that a root is now. */
  readonly #byRoot = new Map<number, number>();
  readonly #steps: Step[] = [];
  /** By space and page, the step with its last page-out. */
  readonly #lastOut = new Map<string, number>();
  #session: Session | undefined;
  #driver: TraceDriver | undefined;
  #calls: WatchCall[] = [];
  #events: MonitorEvent[] = [];
  #notes: string[] = [];
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
    // What begins to be watched has its name from the call.
    for (const call of calls) changes.push(...(await this.#beginWatch(call)));
    for (const event of events) {
      const { index, cleared } = this.#spaceOf(event.root, namesOf(event).space);
      shown.push(sceneEvent(event, index));
      changes.push(...cleared, ...(await this.#changesBy(event, index)));
    }
    if (!this.#hasBegun) {
      this.#hasBegun = true;
      return;
    }
    const note = notes.length === 0 ? {} : { note: notes.join('; ') };
    if (changes.length === 0 && shown.length === 0 && notes.length === 0) return;
    this.#steps.push({ timeMs: (this.#driver?.timeUs ?? 0) / 1000, changes, events: shown, ...note });
  }

  scene(path: string, { about }: TraceDriver, kinds: readonly OptInKind[]): Scene {
    const spaces = this.#spaces.map(({ root, name, initial, pages }): Space => {
      const areas: Area[] = arrangeAreas(pages);
      return { root, name, pid: pidIn(name), areas, runs: initial };
    });
    const captured = about.capture === 'samples' ? 'sampled' : 'exact';
    const missing = ['protection', 'restructure'].filter((kind) => !kinds.includes(kind as OptInKind));
    return {
      kind: 'recording',
      source: path,
      title: about.title === '' ? `Recorded from ${about.source}, ${captured}` : about.title,
      mode: about.paging.mode,
      spaces,
      steps: this.#steps,
      ram: [],
      endMs: this.#steps.at(-1)?.timeMs ?? 0,
      notes: [
        ...(captured === 'sampled' ? ['Sampled: what changed and changed back between two samples is missing.'] : []),
        ...(missing.length === 0
          ? []
          : [`Recorded without --kinds ${missing.join(',')}: the picture misses these changes.`]),
      ],
    };
  }

  /** The space of a root, and what that clears: a root of another process now is another space. */
  #spaceOf(root: number, name: string): { readonly index: number; readonly cleared: readonly Change[] } {
    const known = this.#byRoot.get(root);
    const space = this.#spaces[known ?? -1];
    const isOther = space !== undefined && pidIn(name) !== null && ![null, pidIn(name)].includes(pidIn(space.name));
    if (known !== undefined && space !== undefined && !isOther) {
      // A range is watched before an event says whose it is, and exec(2) gives its process another name.
      if (name !== unnamedSpace(root)) space.name = name;
      return { index: known, cleared: [] };
    }
    const index = this.#spaces.push({ root, name, map: new RunMap(), initial: [], pages: [] }) - 1;
    this.#byRoot.set(root, index);
    return { index, cleared: known === undefined ? [] : this.#clear(known) };
  }

  #clear(index: number): Change[] {
    const { runs } = this.#spaces[index]!.map;
    const [first, last] = [runs[0], runs.at(-1)];
    if (first === undefined || last === undefined) return [];
    return [this.#put(index, { from: first[0], to: last[0] + last[1] }, [])];
  }

  async #changesBy(event: MonitorEvent, index: number): Promise<Change[]> {
    const space = this.#spaces[index]!;
    const span = spanOf(event.va, event.pages);
    const { area } = namesOf(event);
    if (event.kind === 'root-gone') {
      this.#byRoot.delete(event.root);
      return this.#clear(index);
    }
    space.pages.push({ vpn: span.from, pages: event.pages, name: area });
    if (event.kind === 'page-out')
      for (const vpn of pagesOf(span)) this.#lastOut.set(`${index} ${vpn}`, this.#steps.length);
    if (isSwapIn(event)) for (const vpn of pagesOf(span)) this.#wasSwapped(index, vpn);
    const runs = await this.#read(event.root, span);
    const isGone = isSwapOut(event) && runs.length === 0;
    return [this.#put(index, span, isGone ? [[span.from, event.pages, SWAPPED_LOOK, -1]] : runs)];
  }

  /** What a range already has when it begins to be watched. */
  async #beginWatch(call: WatchCall): Promise<Change[]> {
    if (call.kind !== 'monitor' && call.kind !== 'monitorRange') return [];
    const { paging } = this.#session!.monitor;
    const root = rootOf(paging, call.root);
    const byteLength = call.kind === 'monitorRange' ? call.byteLength : 1n;
    const pages = Math.ceil((Number(call.va & 0xfffn) + Number(byteLength)) / 4096);
    const { space: name, area } = namesOf({ root, tags: call.tag === undefined ? [] : [call.tag] });
    const { index, cleared } = this.#spaceOf(root, name);
    const span = spanOf(call.va, pages);
    const runs = await this.#read(root, span);
    const space = this.#spaces[index]!;
    space.pages.push(...unnamed(runs).map((each) => ({ ...each, name: area })));
    if (pages <= MAX_EMPTY_PAGES) space.pages.push({ vpn: span.from, pages, name: area });
    const change = this.#put(index, span, runs);
    if (!this.#hasBegun) this.#spaces[index] = { ...space, initial: [...space.map.runs] };
    return this.#hasBegun ? [...cleared, change] : [];
  }

  /** Linux clears an entry before it writes where the page went, which is no event: only when it comes back is it known. */
  #wasSwapped(index: number, vpn: number): void {
    const changes = this.#steps[this.#lastOut.get(`${index} ${vpn}`) ?? -1]?.changes as Change[] | undefined;
    changes?.push([index, vpn, 1, [[vpn, 1, SWAPPED_LOOK, -1]]]);
  }

  #put(index: number, { from, to }: Span, runs: readonly Run[]): Change {
    this.#spaces[index]!.map.replace(from, to, runs);
    return [index, from, to - from, runs];
  }

  /** Empty where the trace does not have the tables: they are no longer on a watched walk. */
  async #read(root: number, span: Span): Promise<Run[]> {
    const { paging } = this.#session!.monitor;
    const snapshot = { description: '', memory: this.#driver!.memory, regions: [], close: async () => {} };
    try {
      return await readRuns((options) => spacePieces(snapshot, { paging, root }, options), span);
    } catch (error) {
      if (error instanceof PtmonError && (error.code === 'corrupt-input' || error.code === 'not-recorded')) return [];
      throw error;
    }
  }
}

function* pagesOf({ from, to }: Span): Generator<number, void, undefined> {
  for (let vpn = from; vpn < to; vpn++) yield vpn;
}

function unnamedSpace(root: number): string {
  return `root ${hex(root)}`;
}
