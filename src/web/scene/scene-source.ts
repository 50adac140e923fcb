/** What the server shows: a recording, dumps, or a live guest. */
import type { Paging } from '../../core/paging/format.ts';
import type { Walk } from '../../core/paging/walk.ts';
import type { FrameRun } from '../picture/frames.ts';
import type { EventKind, ProcessRow, Scene, Step } from '../picture/scene.ts';

/** A walk, and the paging by which it was made. */
export interface ExplainedWalk {
  readonly paging: Paging;
  readonly walk: Walk;
  /** `nginx[12] 0x7f…000`: every process that maps the frame, where the source knows all of them. */
  readonly sharers?: readonly string[];
}

export interface WalkRequest {
  readonly root: number;
  readonly va: bigint;
  /** Of a recording; defaults to its end. */
  readonly atMs?: number;
}

/** Who has which frame, at the last look. */
export interface FrameMap {
  /** Names by the index of the owner. */
  readonly owners: readonly string[];
  readonly runs: readonly FrameRun[];
}

/** What `/metrics` says of a source. */
export interface SourceCounts {
  /** Pages by kind of event; of `root-gone`, events. */
  readonly pages: Readonly<Partial<Record<EventKind, number>>>;
  /** Events by kind. */
  readonly events: Readonly<Partial<Record<EventKind, number>>>;
  readonly processes: readonly ProcessRow[];
  /** Whether the guest is still there; true for a file. */
  readonly up: boolean;
}

/** What a live guest adds. */
export interface LivePart {
  /** @param onStep receives each step; `onProcesses` each new list; `onEnd` why there is nothing more, as text */
  subscribe(listener: LiveListener): () => void;
  /** Follows the memory of a process from now on. @throws PtmonError `bad-argument` where there is none */
  follow(pid: number): Promise<void>;
  readonly processes: readonly ProcessRow[];
}

export interface LiveListener {
  onStep(step: Step): void;
  onProcesses(processes: readonly ProcessRow[]): void;
  onEnd(why: string): void;
}

export interface SceneSource {
  /** As it is now. */
  scene(): Scene;
  /** @throws PtmonError as the source */
  walk(request: WalkRequest): Promise<ExplainedWalk>;
  frames(): FrameMap;
  counts(): SourceCounts;
  /** The events as lines of JSONL: of a recording all of them, of a live guest those from now on. Undefined where there are none. */
  lines(signal: AbortSignal): AsyncIterable<string> | undefined;
  readonly live?: LivePart;
  close(): Promise<void>;
}
