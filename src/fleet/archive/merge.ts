/** Merges small files of a partition. Whatever moment a crash comes at, each row is in the archive once. */
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { randomUUID } from 'node:crypto';
import { basename, join } from 'node:path';
import { syncFolder } from '../journal/segment.ts';
import { GROUP_ROWS, publish, readParquet, temporaryOf, writeTemporary } from './parquet.ts';
import type { Row } from './row.ts';
import { filesOf, MERGE, type Merge, mergeOf } from './partition.ts';

/** So many files of about the same size are merged into one. */
const FILES = 8;
/** Larger files are left as they are. */
const MAX_BYTES = 4 * 2 ** 20;

/** Merges files until no merge is due. Returns how many files are gone. */
export async function mergeFiles(partition: string): Promise<number> {
  recoverMerge(partition);
  let gone = 0;
  for (;;) {
    const inputs = dueIn(partition);
    if (inputs === undefined) return gone;
    const merge = { output: `${randomUUID()}.parquet`, inputs: inputs.map((path) => basename(path)) };
    await writeTemporary(join(partition, merge.output), rowsOfAll(inputs));
    writeMerge(partition, merge);
    recoverMerge(partition);
    gone += inputs.length - 1;
  }
}

/** Completes a merge that a crash interrupted, or takes it back. */
export function recoverMerge(partition: string): void {
  const merge = mergeOf(partition);
  if (merge !== undefined) {
    const output = join(partition, merge.output);
    if (existsSync(temporaryOf(output))) publish(output);
    if (existsSync(output)) for (const input of merge.inputs) rmSync(join(partition, input), { force: true });
    syncFolder(partition);
    rmSync(join(partition, MERGE));
  }
  for (const name of readdirSync(partition)) if (name.endsWith('.tmp')) rmSync(join(partition, name));
  syncFolder(partition);
}

/** Files of the smallest size of which there are enough. */
function dueIn(partition: string): readonly string[] | undefined {
  const bySize = new Map<number, string[]>();
  for (const path of filesOf(partition)) {
    const { size } = statSync(path);
    if (size >= MAX_BYTES) continue;
    const tier = Math.floor(Math.log(Math.max(size, 1)) / Math.log(FILES));
    bySize.set(tier, [...(bySize.get(tier) ?? []), path]);
  }
  const due = [...bySize].sort(([a], [b]) => a - b).find(([, paths]) => paths.length >= FILES);
  return due?.[1].slice(0, 4 * FILES);
}

/** In groups of one size: small groups of rows compress badly. */
async function* rowsOfAll(paths: readonly string[]): AsyncGenerator<readonly Row[]> {
  let group: Row[] = [];
  for (const path of paths) {
    for await (const rows of readParquet(path)) {
      group = group.concat(rows);
      if (group.length < GROUP_ROWS) continue;
      yield group;
      group = [];
    }
  }
  if (group.length > 0) yield group;
}

function writeMerge(partition: string, merge: Merge): void {
  const path = join(partition, MERGE);
  const fd = openSync(temporaryOf(path), 'w');
  try {
    writeSync(fd, JSON.stringify(merge));
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(temporaryOf(path), path);
  syncFolder(partition);
}
