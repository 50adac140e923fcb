/** What guest RAM is read from on this host: bytes at positions. */
import { readSync } from 'node:fs';

export interface PositionedSource {
  /** What it is, for messages: a path, a process. */
  readonly name: string;
  /**
   * Fills `into` with the bytes at `position`.
   *
   * @throws PtmonError `read-failed` where it may work the next time, `source-unavailable` where it will not, `closed`
   */
  read(into: Uint8Array, position: number): void;
  /** Whether it still is what was opened. @throws PtmonError `source-unavailable` */
  check(): void;
  /** May be called again. */
  close(): void;
}

/**
 * Fills `into` from an open file, however many reads it takes.
 *
 * @returns how many bytes there were: fewer only at the end of the file
 * @throws what the system says, with its `code`
 */
export function readFully(fd: number, into: Uint8Array, position: number): number {
  let done = 0;
  while (done < into.length) {
    const count = readSync(fd, into, done, into.length - done, position + done);
    if (count === 0) break;
    done += count;
  }
  return done;
}
