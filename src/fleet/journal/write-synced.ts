/** Writes a file and syncs it, before anything refers to it. */
import { closeSync, fsyncSync, openSync, rmSync, writeSync } from 'node:fs';

export function writeSynced(path: string, content: string | Uint8Array): void {
  const bytes = Buffer.from(content as Uint8Array);
  const fd = openSync(path, 'w');
  try {
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
    fsyncSync(fd);
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  } finally {
    closeSync(fd);
  }
}
