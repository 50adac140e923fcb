/** A writer of one format for programs that show events over time. */

/** Details of an item, by name. */
export type TimelineFacts = Readonly<Record<string, string | number>>;

/** Groups, tracks and counters are identified by numbers from 1 on. Times are in microseconds. */
export interface TimelineWriter {
  /** A process, if `pid` is given, or another owner of tracks. */
  group(id: number, name: string, pid: number | undefined): void;
  /** A line below its group. */
  track(id: number, group: number, name: string): void;
  counter(id: number, name: string): void;
  begin(track: number, timeUs: number, name: string, facts: TimelineFacts): void;
  end(track: number, timeUs: number): void;
  instant(track: number, timeUs: number, name: string, facts: TimelineFacts): void;
  count(counter: number, timeUs: number, value: number): void;
  /** Ends the output. */
  finish(): void;
  /** Returns what was written since the last call. */
  take(): string | Uint8Array;
}
