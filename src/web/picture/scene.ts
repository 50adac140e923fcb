/** What the page draws and the server sends: address spaces at one moment, and the steps from there. Plain JSON. */
import type { Run } from './runs.ts';

/** A part of an address space that is one block of the picture. */
export interface Area {
  readonly vpn: number;
  readonly pages: number;
  /** `heap`, a path; empty where it has no name. Chosen by the guest: text, never markup. */
  readonly name: string;
  /** `rw-p`, of an area of Linux; several where a block is several areas of one file. */
  readonly rights?: string;
}

export interface Space {
  /** Physical address of the top-level table. */
  readonly root: number;
  /** `nginx[12]`, or the root. Chosen by the guest. */
  readonly name: string;
  readonly pid: number | null;
  /** Ascending. */
  readonly areas: readonly Area[];
  /** Ascending. */
  readonly runs: readonly Run[];
}

/** A run of physical memory that is RAM. */
export interface Ram {
  readonly gfn: number;
  readonly pages: number;
}

export type EventKind = 'page-in' | 'page-out' | 'protection' | 'restructure' | 'root-gone';

/** An event, as the list shows it. */
export interface SceneEvent {
  readonly kind: EventKind;
  /** Index of the space. */
  readonly space: number;
  readonly vpn: number;
  readonly pages: number;
  /** Frame of the first page; of a page-out, the one that was. -1 where the event has none. */
  readonly gfn: number;
  /** Bytes that the leaf maps. */
  readonly pageSize: number;
  /** `workload[81]:heap`: its tags. */
  readonly who: string;
  /** `PTE 0x0 → 0x8000…867`, or what changed; empty where no entry did. */
  readonly why: string;
  readonly vcpu: number | null;
}

/** What is in [vpn, vpn + pages) of a space from then on. */
export type Change = readonly [space: number, vpn: number, pages: number, runs: readonly Run[]];

/** One moment at which something changed. */
export interface Step {
  /** Milliseconds since the beginning. */
  readonly timeMs: number;
  readonly changes: readonly Change[];
  readonly events: readonly SceneEvent[];
  /** Events that happened and are not in `events`, because there were too many. */
  readonly omitted?: number;
  /** Pages by kind of event, those of omitted events among them; absent where `events` has them all. */
  readonly counts?: Partial<Record<EventKind, number>>;
  /** What the recording program noted. */
  readonly note?: string;
  /** Spaces that are new, still empty; their indexes follow those before them. */
  readonly spaces?: readonly Space[];
  /** Areas of spaces that are known, where they have changed. */
  readonly areas?: readonly (readonly [space: number, areas: readonly Area[]])[];
}

export interface Scene {
  /** `comparison`: one step, from the first of two moments to the second. */
  readonly kind: 'live' | 'recording' | 'still' | 'comparison';
  /** File or VM. */
  readonly source: string;
  /** What is shown and how it was captured, in a sentence. */
  readonly title: string;
  /** Paging mode. */
  readonly mode: string;
  readonly spaces: readonly Space[];
  readonly steps: readonly Step[];
  /** Where RAM is; empty where the source does not know. */
  readonly ram: readonly Ram[];
  /** Of the last step at least. */
  readonly endMs: number;
  /** What is left out or inconsistent, a sentence each. */
  readonly notes: readonly string[];
}

/** A process in the list of a live guest. */
export interface ProcessRow {
  readonly pid: number;
  readonly name: string;
  readonly state: string;
  /** 4 KiB pages. */
  readonly resident: number;
  readonly swapped: number;
  readonly large: number;
  readonly pagesIn: number;
  readonly pagesOut: number;
  readonly copies: number;
  /** Whether its memory is followed. */
  readonly followed: boolean;
}
