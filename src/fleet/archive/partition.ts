/** The folders of the archive, one for each day and host, and which of their files count while some are being merged. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileName } from '../journal/file-name.ts';

/** Written before files are merged, removed after: what a crash leaves of a merge is completed by it. */
export const MERGE = 'merge.json';

export interface Merge {
  readonly output: string;
  readonly inputs: readonly string[];
}

/** @param time in microseconds since 1970 */
export function partitionOf(archive: string, time: bigint, host: string): string {
  return join(archive, `day=${dayOf(time)}`, `host=${fileName(host)}`);
}

/** `2026-11-29`, in UTC. A time that is none is counted to 1970. */
export function dayOf(time: bigint): string {
  const date = new Date(Number(time / 1000n));
  const year = date.getUTCFullYear();
  return year >= 1970 && year <= 9999 ? date.toISOString().slice(0, 10) : '1970-01-01';
}

export function partitionsOf(archive: string): readonly string[] {
  const entries = (folder: string, start: string) =>
    readdirSync(folder)
      .filter((name) => name.startsWith(start))
      .sort()
      .map((name) => join(folder, name));
  return existsSync(archive) ? entries(archive, 'day=').flatMap((day) => entries(day, 'host=')) : [];
}

/** Paths of the files with each row once, also while files are being merged. */
export function filesOf(partition: string): readonly string[] {
  for (;;) {
    const merge = mergeOf(partition);
    const names = readdirSync(partition).filter((name) => name.endsWith('.parquet'));
    // A merge that began or ended meanwhile: look again.
    if (JSON.stringify(merge) !== JSON.stringify(mergeOf(partition))) continue;
    const isMerged = merge !== undefined && names.includes(merge.output);
    const superseded = new Set(isMerged ? merge.inputs : []);
    return names
      .filter((name) => !superseded.has(name))
      .sort()
      .map((name) => join(partition, name));
  }
}

export function mergeOf(partition: string): Merge | undefined {
  try {
    return JSON.parse(readFileSync(join(partition, MERGE), 'utf8')) as Merge;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
