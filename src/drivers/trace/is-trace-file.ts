/** Recognizes a trace by its first bytes. */
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { isTrace } from './format/blocks.ts';

const HEAD_BYTES = 16;

/** False also for what cannot be read: opening it reports why. */
export function isTraceFile(path: string): boolean {
  const head = new Uint8Array(HEAD_BYTES);
  try {
    // Before it is opened: to open a pipe is to wait for its writer.
    if (!statSync(path).isFile()) return false;
    const file = openSync(path, 'r');
    try {
      readSync(file, head, 0, HEAD_BYTES, 0);
    } finally {
      closeSync(file);
    }
  } catch {
    return false;
  }
  return isTrace(head);
}
