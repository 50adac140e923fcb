/** What a program that shows events along the time is told; each of them has a format of its own. */

/** Facts behind something that is shown, by name. */
export type TimelineFacts = Readonly<Record<string, string | number>>;

/** Groups, tracks and counters are numbers from 1 on, each its own; times are microseconds. */
export interface TimelineWriter {
  /** A process, where there is a number of one, or anything else that tracks belong to. */
  group(id: number, name: string, pid: number | undefined): void;
  /** A line of its own, below its group. */
  track(id: number, group: number, name: string): void;
  counter(id: number, name: string): void;
  begin(track: number, timeUs: number, name: string, facts: TimelineFacts): void;
  end(track: number, timeUs: number): void;
  instant(track: number, timeUs: number, name: string, facts: TimelineFacts): void;
  count(counter: number, timeUs: number, value: number): void;
  /** Nothing follows. */
  finish(): void;
  /** What has been written since this was last called. */
  take(): string | Uint8Array;
}
