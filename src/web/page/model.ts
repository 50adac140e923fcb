/** What the page knows and shows. Everything else draws it, and is told when it has changed. */
import { type Run, RunMap } from '../picture/runs.ts';
import type { Change, ProcessRow, Scene, Step } from '../picture/scene.ts';
import { type SpaceState, Timeline } from '../picture/timeline.ts';

export type Tab = 'addresses' | 'physical';

/** A page that is looked at closely. */
export interface Selection {
  readonly space: number;
  readonly vpn: number;
}

/** What a moment is compared with. */
export interface Base {
  readonly timeMs: number;
  /** By space. */
  readonly maps: readonly RunMap[];
}

/** Receives the pages of the shown space that have changed. */
export type ChangedPages = (vpn: number, pages: number) => void;

/** Between two updates of the texts beside a picture that changes by itself. */
const TEXT_MS = 250;

export class Model {
  scene: Scene;
  timeline: Timeline;
  processes: readonly ProcessRow[] = [];
  space = 0;
  tab: Tab = 'addresses';
  /** Index of `ZOOMS`; null where each area has its own. */
  zoom: number | null = null;
  selection: Selection | undefined;
  base: Base | undefined;
  /** Whether time goes on: a recording plays, a live guest is followed. */
  isPlaying: boolean;
  speed = 1;
  /** Why nothing more comes. */
  ended: string | undefined;
  /** Whether the connection to the server is interrupted. */
  isLost = false;
  /** Of a recording, where the reader or the clock is; undefined at the last step. */
  #atMs: number | undefined;
  /** What to add to this page's clock for that of a live guest's scene. */
  #clockMs = 0;
  readonly #listeners = new Set<() => void>();
  readonly #parts = new Set<() => void>();
  /** Parts that are still to be drawn. */
  #waiting: (() => void)[] = [];
  readonly #painters = new Set<ChangedPages>();
  #isScheduled = false;
  #soon: number | undefined;

  /** Whether the page is a file of its own, without a server. */
  readonly isReport: boolean;

  constructor(scene: Scene, isReport = false) {
    this.isReport = isReport;
    this.scene = scene;
    this.timeline = new Timeline(scene);
    this.isPlaying = scene.kind === 'live';
    this.#clockMs = scene.endMs - performance.now();
    // A comparison shows the second of its two moments, and what differs.
    if (scene.kind === 'comparison') {
      this.compareFromHere();
      this.seek(Infinity);
    }
    this.#chooseSpace();
  }

  /** A live guest's connection began anew. */
  restart(scene: Scene): void {
    this.scene = scene;
    this.timeline = new Timeline(scene);
    this.#clockMs = scene.endMs - performance.now();
    this.base = undefined;
    if (this.space >= scene.spaces.length) this.#chooseSpace();
    this.changed();
  }

  get shown(): SpaceState | undefined {
    return this.timeline.spaces[this.space];
  }

  get isLive(): boolean {
    return this.scene.kind === 'live';
  }

  /** The shown moment. Nothing may have happened since the last step. */
  get nowMs(): number {
    const { timeMs, at } = this.timeline;
    if (!this.isLive) return Math.max(this.#atMs ?? 0, timeMs);
    const isOver = this.isLost || this.ended !== undefined || !this.isPlaying;
    return Math.max(at === 0 ? this.startMs : timeMs, isOver ? 0 : performance.now() + this.#clockMs);
  }

  /** Of the time bar. */
  get endMs(): number {
    const last = Math.max(this.scene.endMs, this.timeline.steps.at(-1)?.timeMs ?? 0);
    return this.isLive && this.isPlaying ? Math.max(last, this.nowMs) : last;
  }

  get startMs(): number {
    return this.isLive ? (this.timeline.steps[0]?.timeMs ?? this.scene.endMs) : 0;
  }

  /** A step of a live guest. */
  append(step: Step): void {
    this.timeline.append(step);
    this.#clockMs = Math.max(this.#clockMs, step.timeMs - performance.now());
    if (this.isPlaying) this.#seek(Infinity);
    this.#changedSoon();
  }

  /** @param count steps that are to be applied */
  seek(count: number): void {
    this.#atMs = undefined;
    this.#seek(count);
    this.changed();
  }

  #seek(count: number): void {
    this.timeline.seek(count, ([space, vpn, pages]: Change) => {
      if (space === this.space) for (const paint of this.#painters) paint(vpn, pages);
    });
  }

  seekTime(timeMs: number): void {
    this.seek(this.timeline.countAt(timeMs));
    this.#atMs = Math.min(timeMs, this.endMs);
  }

  /** As time goes on by itself. */
  advanceTo(timeMs: number): void {
    this.#atMs = Math.min(timeMs, this.endMs);
    this.#seek(this.timeline.countAt(timeMs));
    this.#changedSoon();
  }

  play(isPlaying: boolean): void {
    this.isPlaying = isPlaying;
    if (isPlaying && this.isLive) this.seek(Infinity);
    // A recording that has ended begins again.
    else if (isPlaying && this.timeline.isAtEnd) this.seek(0);
    this.changed();
  }

  show(space: number): void {
    this.space = space;
    this.tab = 'addresses';
    this.changed();
  }

  select(selection: Selection | undefined): void {
    this.selection = selection;
    if (selection !== undefined && selection.space !== this.space) this.show(selection.space);
    this.changed();
  }

  compareFromHere(): void {
    const maps = this.timeline.spaces.map(({ map }) => new RunMap(map.runs));
    this.base = { timeMs: this.nowMs, maps };
    this.changed();
  }

  stopComparing(): void {
    this.base = undefined;
    this.changed();
  }

  /** What the shown space had at the moment that it is compared with. */
  get baseRuns(): readonly Run[] | undefined {
    return this.base?.maps[this.space]?.runs;
  }

  set<Key extends 'tab' | 'zoom' | 'speed' | 'processes' | 'ended' | 'isLost'>(key: Key, value: Model[Key]): void {
    (this as Pick<Model, Key>)[key] = value;
    if (key === 'processes') this.#changedSoon();
    else this.changed();
  }

  /** Tells the drawing parts, at most once a frame. */
  changed(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    requestAnimationFrame(() => {
      this.#isScheduled = false;
      for (const listener of this.#listeners) listener();
    });
  }

  /**
   * The cells are drawn at once; texts that change several times a second cannot be read. They are drawn part by part, each in a frame of
   * its own: all of them would take longer than a frame.
   */
  #changedSoon(): void {
    if (this.#soon !== undefined) return;
    this.#soon = setTimeout(() => {
      this.#soon = undefined;
      // In the background there are no frames, and nothing is drawn.
      if (this.#waiting.length === 0) requestAnimationFrame(() => this.#drawPart());
      this.#waiting = [...this.#parts];
    }, TEXT_MS);
  }

  #drawPart(): void {
    this.#waiting.shift()?.();
    if (this.#waiting.length > 0) requestAnimationFrame(() => this.#drawPart());
  }

  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Of a part of the page, which is drawn anew as time goes on by itself. */
  listenAsPart(listener: () => void): () => void {
    this.#parts.add(listener);
    return () => this.#parts.delete(listener);
  }

  onPages(paint: ChangedPages): () => void {
    this.#painters.add(paint);
    return () => this.#painters.delete(paint);
  }

  /** The space with most pages: a forked child that has ended says little. */
  #chooseSpace(): void {
    const sizes = this.timeline.spaces.map(({ map, pid }) =>
      pid === null && this.timeline.spaces.length > 1 ? -1 : map.runs.reduce((sum, [, pages]) => sum + pages, 0),
    );
    this.space = Math.max(0, sizes.indexOf(Math.max(...sizes)));
  }
}
