/** What a trace says, record by record: docs/formats/trace.md, section "Records". */
import type { PagingRegisters, SourceEvent } from '../../../driver/driver.ts';
import type { EventNames, EventOwner, SessionEnd } from '../../../driver/session-parts.ts';
import type { WatchCall } from '../../../driver/watch-calls.ts';

/** Slots of eight bytes in a frame. */
export const FRAME_SLOTS = 512;

/** A frame comes into the picture, with all that it holds. */
export interface TableRecord {
  readonly type: 'table';
  readonly gfn: number;
  /** 1024, low word of each slot first. */
  readonly words: Uint32Array;
}

/** A frame was asked for that is not RAM. */
export interface NoMemoryRecord {
  readonly type: 'no-memory';
  readonly gfn: number;
}

/** Frames that are not followed any more: nothing is known of them from here on. */
export interface LeftRecord {
  readonly type: 'left';
  readonly gfns: readonly number[];
}

/** How a change was noticed: by a write that the source reported, or by comparing. */
export type Capture = 'write' | 'compare';

/** Slots of frames in the picture that hold something else. */
export interface ChangesRecord {
  readonly type: 'changes';
  readonly capture: Capture;
  readonly changes: readonly SlotChange[];
}

export interface SlotChange {
  /** Physical address, a multiple of 8. */
  readonly pa: number;
  readonly lo: number;
  readonly hi: number;
}

export interface RegistersRecord {
  readonly type: 'registers';
  readonly vcpu: number;
  readonly registers: PagingRegisters;
}

/** The session has processed what the source said. */
export interface SaidRecord {
  readonly type: 'said';
  readonly said: SourceEvent;
}

/** What is watched has changed. */
export interface CallRecord {
  readonly type: 'call';
  readonly call: WatchCall;
}

/** A human-readable note of the recording program. */
export interface NoteRecord {
  readonly type: 'note';
  readonly text: string;
}

/** How the events were called that the last `said` record led to. */
export interface NamesRecord extends EventNames {
  readonly type: 'names';
}

/** Whose memory the events of the `names` record before this one are about: runs of names that have one owner, in their order. */
export interface OwnersRecord {
  readonly type: 'owners';
  readonly runs: readonly OwnerRun[];
}

export interface OwnerRun {
  readonly count: number;
  /** Undefined for events of no process. */
  readonly owner: EventOwner | undefined;
}

/** All since the last of these belongs to one moment, at which the guest was stopped. */
export interface InstantRecord {
  readonly type: 'instant';
  /** Microseconds since the last one; since the beginning for the first. */
  readonly sinceUs: number;
}

/** Nothing follows. */
export interface EndRecord extends SessionEnd {
  readonly type: 'end';
}

/** What memory and registers are. */
export type StateRecord = TableRecord | NoMemoryRecord | LeftRecord | ChangesRecord | RegistersRecord;
/** What happened then. */
export type StepRecord = SaidRecord | NamesRecord | OwnersRecord | CallRecord | NoteRecord;
export type TraceRecord = StateRecord | StepRecord | InstantRecord | EndRecord;

/** The first byte of each record. Those from 128 on may be left unread by who does not know them. */
export const RECORD = {
  table: 1,
  noMemory: 2,
  left: 3,
  changes: 4,
  registers: 5,
  write: 6,
  commit: 7,
  missed: 8,
  rootGone: 9,
  call: 10,
  instant: 11,
  end: 12,
  note: 128,
  names: 129,
  owners: 130,
} as const;

export const FIRST_OPTIONAL_RECORD = 128;

/** What a tag is. */
export const TAG = { none: 0, text: 1, number: 2 } as const;

export const CAPTURES = ['write', 'compare'] as const satisfies readonly Capture[];
export const ENDINGS = ['finished', 'stopped', 'failed'] as const satisfies readonly SessionEnd['ended'][];

/** The place of a call's kind in this list is its number in the file. */
export const CALL_KINDS = [
  'monitor',
  'monitorRange',
  'unmonitor',
  'unmonitorRange',
  'unmonitorByForce',
  'unmonitorView',
  'unmonitorAll',
  'rootGone',
  'resync',
] as const satisfies readonly WatchCall['kind'][];
