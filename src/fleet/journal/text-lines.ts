/** The lines of a file, without all of it in memory. */
import { closeSync, openSync, readSync } from 'node:fs';

const CHUNK_BYTES = 2 ** 18;
const NEWLINE = 0x0a;

export function* textLinesOf(path: string): Generator<string, void, undefined> {
  const fd = openSync(path, 'r');
  try {
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    let parts: Buffer[] = [];
    for (let byteLength = readSync(fd, buffer); byteLength > 0; byteLength = readSync(fd, buffer)) {
      const chunk = buffer.subarray(0, byteLength);
      let start = 0;
      for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
        yield Buffer.concat([...parts, chunk.subarray(start, end)]).toString();
        parts = [];
        start = end + 1;
      }
      // The buffer is used again.
      parts.push(Buffer.from(chunk.subarray(start)));
    }
    yield Buffer.concat(parts).toString();
  } finally {
    closeSync(fd);
  }
}
