/** Merges small files of a partition. Whatever moment a crash comes at, each row is in the archive once. */
import { statSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { basename, join } from 'node:path';
import { GROUP_ROWS, readParquet, writeTemporary } from './parquet.ts';
import { commit, discard, filesOf, settle, stateOf } from './partition.ts';
import type { Row } from './row.ts';

/** So many files of about the same size are merged into one. */
const FILES = 8;
/** Larger files are left as they are. */
const MAX_BYTES = 4 * 2 ** 20;

/** Merges files until no merge is due. */
export async function mergeFiles(partition: string): Promise<void> {
  settle(partition);
  try {
    for (let inputs = dueIn(partition); inputs !== undefined; inputs = dueIn(partition)) {
      if (!(await replace(partition, inputs))) return;
    }
  } catch (error) {
    // Another process merges them.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

/** One file instead of many. Returns false where another process has replaced one of them. */
async function replace(partition: string, inputs: readonly string[]): Promise<boolean> {
  const output = `${randomUUID()}.parquet`;
  const names = new Set(inputs.map((path) => basename(path)));
  try {
    await writeTemporary(join(partition, output), rowsOfAll(inputs));
    for (;;) {
      const state = stateOf(partition);
      const others = state.files.filter((name) => !names.has(name));
      if (others.length !== state.files.length - names.size) return false;
      if (commit(partition, { ...state, files: [...others, output] }, output)) return true;
    }
  } finally {
    discard(partition, output);
  }
}

/** Files of the smallest size of which there are enough. */
function dueIn(partition: string): readonly string[] | undefined {
  const bySize = new Map<number, string[]>();
  for (const path of filesOf(partition)) {
    const size = statSync(path, { throwIfNoEntry: false })?.size ?? MAX_BYTES;
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
