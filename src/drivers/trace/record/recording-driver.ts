/** Any driver, and a record of what a session does with it, in a file. */
import type { Driver, SourceEvent } from '../../../driver/driver.ts';
import { FollowedFrames } from './followed-frames.ts';
import { Recorder } from './recorder.ts';
import { TraceFile } from './trace-file.ts';

export interface RecordOptions {
  /** A line for people: what this is a trace of. */
  readonly title?: string;
  /** What the session's own output says of itself in its header, so that a replay's says the same. */
  readonly options?: Readonly<Record<string, string | number | boolean>>;
}

/** A driver that keeps a record of its session. */
export interface RecordingDriver extends Driver {
  readonly recorder: Recorder;
  /** Puts a word into the trace that a replay shows in its place: what the guest was told to do. */
  note(text: string): void;
  /** Bytes that the trace has so far. */
  readonly byteLength: number;
}

/**
 * Wraps a driver so that the session on it is recorded: give the answer to `openSession` in its place. It can do what the driver can,
 * and is the driver's owner from here on, unless it throws.
 *
 * @param path of the trace, which is made anew
 * @throws PtmonError `bad-argument` where the file cannot be written to
 */
export function recordDriver(driver: Driver, path: string, options: RecordOptions = {}): RecordingDriver {
  const file = new TraceFile(path);
  const memory = new FollowedFrames(driver.memory);
  const recorder = new Recorder(driver, memory, file, options);
  const { name, protection, traps, registers, remote, control, script } = driver;
  return {
    name,
    memory,
    ...(protection && { protection }),
    ...(traps && { traps }),
    ...(registers && { registers }),
    ...(remote && { remote }),
    ...(control && { control }),
    ...(script && { script }),
    recorder,
    note: (text) => recorder.note(text),
    get byteLength() {
      return file.byteLength;
    },
    async *run(signal?: AbortSignal): AsyncGenerator<readonly SourceEvent[], void, undefined> {
      for await (const batch of driver.run(signal)) {
        recorder.standsStill();
        yield batch;
      }
    },
    async close() {
      await driver.close();
      recorder.release();
    },
  };
}
