/**
 * A live guest as a scene that goes on. Processes that are followed have their events in it; of all others it knows, at each look, which
 * pages they have.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { gfnOf, paOf } from '../../core/address/pa.ts';
import { vaOf } from '../../core/address/va.ts';
import { errorText, PtmonError } from '../../core/error.ts';
import { OPT_IN_KINDS } from '../../core/monitor/events.ts';
import type { BatchWatch, Guest, Moment } from '../../guest/index.ts';
import { isWanted, type ProcessEvent, type ProcessSelection } from '../../linux/index.ts';
import { eventLine, headerLine, watchLine } from '../../sinks/jsonl-format.ts';
import type { WatchChange } from '../../sinks/sink.ts';
import { VERSION } from '../../sinks/version.ts';
import { frameRuns } from '../picture/frames.ts';
import { frameStep, isSwapped, leafPages, SWAPPED_LOOK } from '../picture/look.ts';
import { countChanges, differences, type Run, RunMap, totalsOf } from '../picture/runs.ts';
import type { Area, Change, EventKind, ProcessRow, Scene, SceneEvent, Space, Step } from '../picture/scene.ts';
import { LineQueue } from './line-queue.ts';
import {
  areasOf,
  hasPagesOutside,
  processKey,
  processName,
  processRuns,
  type SampledProcess,
  sampleProcesses,
  sharersOf,
  userSpan,
} from './process-sample.ts';
import { countEvents, isSwapOut, sceneEvent } from './scene-events.ts';
import type {
  ExplainedWalk,
  FrameMap,
  LiveListener,
  LivePart,
  SceneSource,
  SourceCounts,
  WalkRequest,
} from './scene-source.ts';
import { spanOf } from './space-runs.ts';
import { walkGuest } from './file-source.ts';

export interface LiveOptions {
  /** What is followed from the beginning; defaults to the process that has most in memory. */
  readonly by?: ProcessSelection['by'];
  /** Whether the guest stops after each write to a followed entry. */
  readonly isExact: boolean;
  readonly onNotice: (line: string) => void;
}

/** Between two looks at all processes, at least; and they may take a tenth of the time. */
const LOOK_MS = 1000;
const LOOK_SHARE = 10;
/** Processes that one server follows at most. */
const MAX_FOLLOWED = 16;

interface LiveSpace {
  readonly space: Space;
  readonly map: RunMap;
  /** Address of its `mm_struct`; null where it is not known. */
  readonly mm: bigint | null;
  areas: readonly Area[];
  isGone: boolean;
}

export class LiveSceneSource implements SceneSource, LivePart {
  readonly #guest: Guest;
  readonly #options: LiveOptions;
  readonly #beganMs = performance.now();
  readonly #spaces: LiveSpace[] = [];
  /** The index of the space that a root is now. */
  readonly #byRoot = new Map<number, number>();
  readonly #handles = new Map<string, BatchWatch>();
  readonly #listeners = new Set<LiveListener>();
  readonly #lines = new Set<LineQueue>();
  readonly #pages: Partial<Record<EventKind, number>> = {};
  readonly #events: Partial<Record<EventKind, number>> = {};
  readonly #stop = new AbortController();
  #samples: readonly SampledProcess[] = [];
  #rows: readonly ProcessRow[] = [];
  #mode = '';
  /** Of the processes' half. */
  #userPages = 0;
  #seq = 0;
  /** Why nothing more comes; undefined while the guest is there. */
  #ended: string | undefined;
  #looking: Promise<void> | undefined;

  private constructor(guest: Guest, options: LiveOptions) {
    this.#guest = guest;
    this.#options = options;
  }

  /** The source closes the guest. @throws PtmonError where no Linux is found, or nothing fits `options.by` */
  static async open(guest: Guest, options: LiveOptions): Promise<LiveSceneSource> {
    const source = new LiveSceneSource(guest, options);
    try {
      // Keeps one session open: without it each look would connect anew.
      guest.run().then(
        () => source.#end('the guest has ended'),
        (error: unknown) => source.#end(errorText(error)),
      );
      await source.#look();
      await source.#followBy(options.by ?? source.#largest());
      await source.#look();
    } catch (error) {
      await source.close();
      throw error;
    }
    source.#looking = source.#keepLooking();
    return source;
  }

  get live(): LivePart {
    return this;
  }

  get processes(): readonly ProcessRow[] {
    return this.#rows;
  }

  scene(): Scene {
    const { isExact } = this.#options;
    return {
      kind: 'live',
      source: this.#guest.name,
      title: isExact ? 'Live, exact: each change is shown' : 'Live, sampled: what changes and changes back is missed',
      mode: this.#mode,
      spaces: this.#spaces.map(({ space, areas, map }) => ({ ...space, areas, runs: map.runs })),
      steps: [],
      ram: [],
      endMs: this.#nowMs(),
      notes: this.#ended === undefined ? [] : [`Nothing more comes: ${this.#ended}`],
    };
  }

  /** With who else maps its frame, at the last look: also processes that nobody follows. */
  async walk(request: WalkRequest): Promise<ExplainedWalk> {
    const answer = await walkGuest(this.#guest, request);
    if (!answer.walk.translates) return answer;
    return { ...answer, sharers: sharersOf(this.#samples, gfnOf(answer.walk.pa)) };
  }

  frames(): FrameMap {
    const owners = this.#samples.map(({ process }) => processName(process));
    return { owners, runs: frameRuns(this.#samples.map(({ runs }) => runs)) };
  }

  counts(): SourceCounts {
    return { pages: this.#pages, events: this.#events, processes: this.#rows, up: this.#ended === undefined };
  }

  lines(signal: AbortSignal): AsyncIterable<string> {
    const options = { watch: this.#options.isExact ? 'exact' : 'sample' };
    const header = headerLine(VERSION, { source: 'qemu', mode: this.#mode, kinds: OPT_IN_KINDS }, options);
    const present = this.#spaces.filter(({ isGone }) => !isGone);
    const queue = new LineQueue([header, ...present.map((space) => this.#watchLine(space))].join(''));
    this.#lines.add(queue);
    const end = () => {
      this.#lines.delete(queue);
      queue.end();
    };
    if (signal.aborted || this.#ended !== undefined) end();
    else signal.addEventListener('abort', end, { once: true });
    return queue;
  }

  subscribe(listener: LiveListener): () => void {
    this.#listeners.add(listener);
    if (this.#ended !== undefined) listener.onEnd(this.#ended);
    return () => this.#listeners.delete(listener);
  }

  async follow(pid: number): Promise<void> {
    await this.#followBy({ pid });
    this.#tellRows();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#looking;
    await this.#guest.close();
    this.#end('ptmon closes');
  }

  #nowMs(): number {
    return performance.now() - this.#beganMs;
  }

  #largest(): ProcessSelection['by'] {
    // The first process is rarely what is looked for.
    const others = this.#samples.filter(({ process }) => process.pid !== 1);
    const [first, ...rest] = others.length > 0 ? others : this.#samples;
    if (first === undefined) throw new PtmonError('source-unavailable', 'the guest has no process with its own memory');
    const size = ({ runs }: SampledProcess) => totalsOf(runs).mapped;
    return { pid: rest.reduce((best, each) => (size(each) > size(best) ? each : best), first).process.pid };
  }

  async #followBy(by: ProcessSelection['by']): Promise<void> {
    const key = JSON.stringify(by);
    if (this.#handles.has(key)) return;
    if (this.#handles.size >= MAX_FOLLOWED)
      throw new PtmonError('bad-argument', `${MAX_FOLLOWED} processes are followed already; start another ptmon serve`);
    const handle = await this.#guest.follow({
      selection: { by },
      onEvents: (events, moment) => this.#take(events, moment),
      onEnd: () => this.#handles.delete(key),
    });
    this.#handles.set(key, handle);
    const fitting = this.#samples.filter((sample) => isWanted({ by }, sample.process));
    for (const { process, root } of fitting) {
      await this.#guest.paused(async (moment) => {
        const step = await this.#meet({ root, pid: process.pid, comm: process.command }, moment);
        if (step !== undefined) this.#tell(step);
      });
    }
  }

  /** The space of a root, with what it has now; undefined where it is known. */
  async #meet(
    { root, pid, comm }: { root: number; pid: number; comm: string },
    moment: Moment,
  ): Promise<Step | undefined> {
    const name = processName({ pid, command: comm });
    const known = this.#spaces[this.#byRoot.get(root) ?? -1];
    // After exec(2), and where a root is another process's now, it is another space.
    if (known !== undefined && known.space.name === name) return undefined;
    const linux = await moment.linux();
    const runs = await processRuns(moment, linux, root);
    const { processes } = await linux.processes();
    const mm = processes.find((process) => process.pid === pid)?.mm ?? null;
    const areas = mm === null ? [] : ((await areasOf(linux, mm)) ?? []);
    const space: Space = { root, name, pid, areas, runs: [] };
    const index = this.#spaces.push({ space, map: new RunMap(runs), mm, areas, isGone: false }) - 1;
    this.#byRoot.set(root, index);
    const { from, to } = userSpan(linux);
    this.#userPages = to - from;
    for (const queue of this.#lines) queue.push(this.#watchLine(this.#spaces[index]!));
    return { timeMs: this.#nowMs(), changes: [[index, from, to - from, runs]], events: [], spaces: [space] };
  }

  /** What is followed, and what it has, as a line of JSONL. */
  #watchLine({ space: { root, name }, map }: LiveSpace): string {
    const backed = map.runs
      .filter(([, , look]) => !isSwapped(look))
      .flatMap(([vpn, pages, look, gfn]): WatchChange['backed'][number][] => {
        const pageSize = leafPages(look) * 4096;
        const runs =
          frameStep(look) === 0
            ? Array.from({ length: pages }, (_, at) => [vpn + at, 1] as const)
            : [[vpn, pages] as const];
        return runs.map(([at, count]) => ({ va: vaOf(at, 0), pa: paOf(gfn), pageSize, pages: count }));
      });
    return watchLine({
      kind: 'watch',
      view: 0,
      root: paOf(root / 4096),
      va: vaOf(0, 0),
      pages: this.#userPages,
      tags: [name],
      backed,
      time: { us: Math.round(this.#nowMs() * 1000), at: undefined },
    });
  }

  async #take(events: readonly ProcessEvent[], moment: Moment): Promise<void> {
    const changes: Change[] = [];
    const shown: SceneEvent[] = [];
    for (const event of events) {
      const met = event.kind === 'root-gone' ? undefined : await this.#meet({ ...event, root: event.root }, moment);
      if (met !== undefined) this.#tell(met);
      const index = this.#byRoot.get(event.root);
      if (index === undefined) continue;
      shown.push(sceneEvent(event, index));
      changes.push(...(await this.#changesBy(event, index, moment)));
    }
    countEvents(events, this.#pages);
    for (const event of events) {
      this.#events[event.kind] = (this.#events[event.kind] ?? 0) + 1;
      if (this.#lines.size > 0) {
        const line = eventLine(event, this.#seq);
        for (const queue of this.#lines) queue.push(line);
      }
      this.#seq++;
    }
    const areas = await this.#growAreas(changes, moment);
    this.#tell({ timeMs: this.#nowMs(), changes, events: shown, ...(areas.length > 0 && { areas }) });
  }

  /** Pages that came outside of all known areas would not be drawn before the next look: the areas of their process, anew. */
  async #growAreas(changes: readonly Change[], moment: Moment): Promise<[number, readonly Area[]][]> {
    const grown: [number, readonly Area[]][] = [];
    for (const index of new Set(changes.map(([space]) => space))) {
      const { areas, mm } = this.#spaces[index]!;
      const runs = changes.flatMap((change) => (change[0] === index ? change[3] : []));
      if (mm === null || !hasPagesOutside(areas, runs)) continue;
      const now = await areasOf(await moment.linux(), mm);
      if (now === undefined) continue;
      this.#spaces[index]!.areas = now;
      grown.push([index, now]);
    }
    return grown;
  }

  async #changesBy(event: ProcessEvent, index: number, moment: Moment): Promise<Change[]> {
    const { map } = this.#spaces[index]!;
    const put = (from: number, to: number, runs: readonly Run[]): Change[] => {
      map.replace(from, to, runs);
      return [[index, from, to - from, runs]];
    };
    if (event.kind === 'root-gone') {
      this.#byRoot.delete(event.root);
      this.#spaces[index]!.isGone = true;
      const { from, to } = userSpan(await moment.linux());
      return put(from, to, []);
    }
    const span = spanOf(event.va, event.pages);
    const runs = await processRuns(moment, await moment.linux(), event.root, span);
    const isSwapped = runs.length === 0 && isSwapOut(event);
    return put(span.from, span.to, isSwapped ? [[span.from, event.pages, SWAPPED_LOOK, -1]] : runs);
  }

  async #keepLooking(): Promise<void> {
    const { signal } = this.#stop;
    for (let tookMs = 0; !signal.aborted && this.#ended === undefined; ) {
      await sleep(Math.max(LOOK_MS, tookMs * LOOK_SHARE), undefined, { signal }).catch(() => {});
      if (signal.aborted) return;
      const began = performance.now();
      await this.#look().catch((error: unknown) => {
        if (this.#ended === undefined && !signal.aborted)
          this.#options.onNotice(`Reading the guest failed: ${String(error)}`);
      });
      tookMs = performance.now() - began;
    }
  }

  /** Reads what all processes have, and the areas of those that are followed. */
  async #look(): Promise<void> {
    const areas: [number, readonly Area[]][] = [];
    const changes: Change[] = [];
    const before = new Map(this.#samples.map(({ process, runs }) => [processKey(process), runs]));
    await this.#guest.paused(async (moment) => {
      this.#mode = moment.paging.mode.name;
      this.#samples = await sampleProcesses(moment);
      const linux = await moment.linux();
      for (const { process, root, runs } of this.#samples) {
        const index = this.#byRoot.get(root);
        if (index === undefined || process.mm === null) continue;
        changes.push(...this.#correct(index, runs));
        const now = await areasOf(linux, process.mm);
        if (now === undefined || JSON.stringify(now) === JSON.stringify(this.#spaces[index]!.areas)) continue;
        this.#spaces[index]!.areas = now;
        areas.push([index, now]);
      }
    });
    this.#rows = this.#samples.map(({ process, runs }): ProcessRow => {
      const { mapped, swapped, large } = totalsOf(runs);
      const was = before.get(processKey(process));
      const changes = was === undefined ? { pagesIn: 0, pagesOut: 0, copies: 0 } : countChanges(was, runs);
      const { pid, command, state } = process;
      return { pid, name: command, state, resident: mapped, swapped, large, ...changes, followed: false };
    });
    if (areas.length + changes.length > 0) this.#tell({ timeMs: this.#nowMs(), changes, events: [], areas });
    this.#tellRows();
  }

  /** What no event tells: where an absent page went, for instance. */
  #correct(index: number, runs: readonly Run[]): Change[] {
    const { map } = this.#spaces[index]!;
    const found = [...differences(map.runs, runs)];
    return found.map(({ vpn, pages, after }) => {
      const now = after === undefined ? [] : [after];
      map.replace(vpn, vpn + pages, now);
      return [index, vpn, pages, now];
    });
  }

  #tell(step: Step): void {
    for (const listener of this.#listeners) listener.onStep(step);
  }

  #tellRows(): void {
    const followed = new Set(this.#spaces.filter(({ isGone }) => !isGone).map(({ space }) => space.pid));
    this.#rows = this.#rows.map((row) => ({ ...row, followed: followed.has(row.pid) }));
    for (const listener of this.#listeners) listener.onProcesses(this.#rows);
  }

  #end(why: string): void {
    if (this.#ended !== undefined) return;
    this.#ended = why;
    for (const listener of this.#listeners) listener.onEnd(why);
    for (const queue of this.#lines) queue.end();
    this.#lines.clear();
  }
}
