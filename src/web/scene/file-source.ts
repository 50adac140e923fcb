/** A trace, a dump, or two dumps, for the server. */
import { PtmonError } from '../../core/error.ts';
import { makePaging } from '../../core/paging/format.ts';
import { walk } from '../../core/paging/walk.ts';
import { openTraceSnapshot, TraceReader } from '../../drivers/trace/index.ts';
import type { Guest } from '../../guest/index.ts';
import { frameRuns } from '../picture/frames.ts';
import { countsOf } from '../picture/rates.ts';
import type { EventKind, Scene } from '../picture/scene.ts';
import { Timeline } from '../picture/timeline.ts';
import type { ExplainedWalk, FrameMap, SceneSource, SourceCounts, WalkRequest } from './scene-source.ts';

export interface FileParts {
  readonly scene: Scene;
  readonly walk: (request: WalkRequest) => Promise<ExplainedWalk>;
  /** The lines of a recording. */
  readonly lines?: (signal: AbortSignal) => AsyncIterable<string>;
  readonly close?: () => Promise<void>;
}

export class FileSceneSource implements SceneSource {
  readonly #parts: FileParts;

  constructor(parts: FileParts) {
    this.#parts = parts;
  }

  scene(): Scene {
    return this.#parts.scene;
  }

  walk(request: WalkRequest): Promise<ExplainedWalk> {
    return this.#parts.walk(request);
  }

  /** At the end of the recording. */
  frames(): FrameMap {
    const timeline = new Timeline(this.#parts.scene);
    timeline.seek(Infinity);
    const { spaces } = timeline;
    return { owners: spaces.map(({ name }) => name), runs: frameRuns(spaces.map(({ map }) => map.runs)) };
  }

  counts(): SourceCounts {
    const pages: Partial<Record<EventKind, number>> = {};
    const events: Partial<Record<EventKind, number>> = {};
    for (const step of this.#parts.scene.steps) {
      for (const [kind, count] of Object.entries(countsOf(step)) as [EventKind, number][])
        pages[kind] = (pages[kind] ?? 0) + count;
      for (const { kind } of step.events) events[kind] = (events[kind] ?? 0) + 1;
    }
    return { pages, events, processes: [], up: true };
  }

  lines(signal: AbortSignal): AsyncIterable<string> | undefined {
    return this.#parts.lines?.(signal);
  }

  async close(): Promise<void> {
    await this.#parts.close?.();
  }
}

/** Walks the tables of a trace as they were at a time. @throws PtmonError as `openTraceSnapshot` */
export async function walkTrace(path: string, { root, va, atMs }: WalkRequest): Promise<ExplainedWalk> {
  const reader = new TraceReader(path);
  const paging = makePaging(reader.about.paging);
  reader.close();
  const snapshot = openTraceSnapshot(path, atMs === undefined ? {} : { atUs: Math.round(atMs * 1000) });
  try {
    return { paging, walk: walk(paging, snapshot.memory, root, va) };
  } finally {
    await snapshot.close();
  }
}

/** @throws PtmonError as `Guest.paused` */
export function walkGuest(guest: Guest, { root, va }: WalkRequest): Promise<ExplainedWalk> {
  return guest.paused(async (moment) => ({ paging: moment.paging, walk: await moment.memoryOf(root).walk(va) }));
}

/** The walk of what has no tables. @param why it has none */
export function noWalk(why: string): FileParts['walk'] {
  return () => Promise.reject(new PtmonError('bad-argument', `there are no page tables here: ${why}`));
}
