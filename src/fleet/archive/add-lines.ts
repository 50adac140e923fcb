/** Adds lines of journals to an archive: each once, however often and by how many processes it is added. */
import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { PtmonError } from '../../core/error.ts';
import { type JournalLine, timeOf } from '../journal/read-segment.ts';
import { temporaryOf, writeTemporary } from './parquet.ts';
import { commit, discard, makePartition, partitionOf, settle, stateOf } from './partition.ts';
import { has, withAll } from './positions.ts';
import { fittingRowsOf } from './fitting-rows.ts';
import type { Row } from './row.ts';

export interface Added {
  /** New ones. */
  readonly rows: number;
  /** Folders that have changed. */
  readonly partitions: readonly string[];
  /** Lines that were not added, because their folder is damaged. */
  readonly left: ReadonlySet<JournalLine>;
  /** What is wrong with it. */
  readonly damage: PtmonError | undefined;
}

/** All that it adds is on the disk when it resolves. @throws the error of a file system that is full or broken: add the same again later */
export async function addLines(archive: string, lines: readonly JournalLine[]): Promise<Added> {
  const parts = new Map<string, JournalLine[]>();
  for (const line of lines) {
    const partition = partitionOf(archive, timeOf(line.fields) ?? line.place.after, line.place.host);
    const part = parts.get(partition);
    if (part === undefined) parts.set(partition, [line]);
    else part.push(line);
  }
  let [rows, damage]: [number, PtmonError | undefined] = [0, undefined];
  const left = new Set<JournalLine>();
  for (const [partition, part] of parts) {
    try {
      rows += await addTo(partition, part);
    } catch (error) {
      // The other days and hosts go on.
      if (!(error instanceof PtmonError)) throw error;
      damage = error;
      for (const line of part) left.add(line);
    }
  }
  return { rows, partitions: [...parts.keys()], left, damage };
}

async function addTo(partition: string, lines: readonly JournalLine[]): Promise<number> {
  makePartition(partition);
  const written: string[] = [];
  try {
    return await write(partition, lines, written);
  } catch (error) {
    for (const name of written) discard(partition, name);
    throw error;
  }
}

/** @param names of the files that it writes */
async function write(partition: string, lines: readonly JournalLine[], names: string[]): Promise<number> {
  let written: { readonly name: string; readonly lines: number; readonly rows: number } | undefined;
  for (;;) {
    const state = stateOf(partition);
    const fresh = freshOf(lines, (line) => has(state.lines, line.place));
    if (fresh.length === 0) {
      settle(partition);
      return written?.rows ?? 0;
    }
    if (written?.lines !== fresh.length) {
      if (written !== undefined) rmSync(temporaryOf(join(partition, written.name)), { force: true });
      const rows = fresh.flatMap(fittingRowsOf);
      const name = `${randomUUID()}.parquet`;
      names.push(name);
      if (rows.length > 0) await writeTemporary(join(partition, name), inOne(rows));
      written = { name, lines: fresh.length, rows: rows.length };
    }
    const files = written.rows > 0 ? [...state.files, written.name] : state.files;
    const places = fresh.map(({ place }) => place);
    const next = { ...state, files, lines: withAll(state.lines, places) };
    if (commit(partition, next, written.rows > 0 ? written.name : undefined)) return written.rows;
  }
}

/** Those that are not in the archive, each once. */
function freshOf(lines: readonly JournalLine[], isKnown: (line: JournalLine) => boolean): readonly JournalLine[] {
  const seen = new Set<string>();
  return lines.filter((line) => {
    const name = `${line.place.session} ${line.place.position}`;
    if (seen.has(name) || isKnown(line)) return false;
    seen.add(name);
    return true;
  });
}

async function* inOne(rows: readonly Row[]): AsyncGenerator<readonly Row[]> {
  yield rows;
}
