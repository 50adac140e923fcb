/**
 * Moves complete segments of a journal to the archive. A batch of segments is first moved to a folder of its own, whose name is that of the
 * files which it becomes: a batch that a crash interrupts is written again, to the same files.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { COMPLETE, gapLine, type SegmentFacts, syncFolder } from '../journal/segment.ts';
import { mergeFiles } from './merge.ts';
import { writeParquet } from './parquet.ts';
import { dayOf, partitionOf, partitionsOf } from './partition.ts';
import { type Row, rowsOf, timeOf } from './row.ts';

export interface KeeperOptions {
  readonly journal: string;
  readonly archive: string;
  /** Days that are kept; older ones are removed. Defaults to all. */
  readonly keepDays?: number | undefined;
}

/** Segments of one batch, together. */
const BATCH_BYTES = 16 * 2 ** 20;
const BATCH = 'batch-';

export class Keeper {
  readonly #options: KeeperOptions;

  constructor(options: KeeperOptions) {
    this.#options = options;
    mkdirSync(options.journal, { recursive: true });
    mkdirSync(options.archive, { recursive: true });
  }

  /** Moves all that is complete now. Returns the number of rows. @throws the error of a file system that is full or broken: call it again later */
  async keep(): Promise<number> {
    const { journal } = this.#options;
    let rows = 0;
    for (const name of readdirSync(journal)) if (name.startsWith(BATCH)) rows += await this.#write(name);
    for (let batch = this.#claim(); batch !== undefined; batch = this.#claim()) rows += await this.#write(batch);
    return rows;
  }

  /** Merges small files, and removes old days. */
  async tidy(now: Date = new Date()): Promise<void> {
    const { archive, keepDays } = this.#options;
    if (keepDays !== undefined) {
      const first = `day=${dayOf(BigInt(now.getTime() - keepDays * 86_400_000) * 1000n)}`;
      const old = readdirSync(archive).filter((name) => name.startsWith('day=') && name < first);
      for (const name of old) rmSync(join(archive, name), { recursive: true });
    }
    for (const partition of partitionsOf(archive)) await mergeFiles(partition);
  }

  /** Moves segments to the folder of a batch. Returns its name; undefined where no segment is complete. */
  #claim(): string | undefined {
    const { journal } = this.#options;
    const chosen = inTurn(readdirSync(journal).filter((name) => name.endsWith(COMPLETE)));
    if (chosen.length === 0) return undefined;
    const batch = `${BATCH}${randomUUID()}`;
    mkdirSync(join(journal, batch));
    let byteLength = 0;
    for (const name of chosen) {
      if (byteLength >= BATCH_BYTES) break;
      byteLength += statSync(join(journal, name)).size;
      renameSync(join(journal, name), join(journal, batch, name));
    }
    syncFolder(join(journal, batch));
    syncFolder(journal);
    return batch;
  }

  async #write(batch: string): Promise<number> {
    const { journal, archive } = this.#options;
    const folder = join(journal, batch);
    const parts = new Map<string, Row[]>();
    for (const name of readdirSync(folder).sort()) {
      for (const { partition, row } of rowsIn(join(folder, name), archive)) {
        const rows = parts.get(partition);
        if (rows === undefined) parts.set(partition, [row]);
        else rows.push(row);
      }
    }
    let count = 0;
    for (const [partition, rows] of parts) {
      if (!existsSync(partition)) makeFolder(partition);
      await writeParquet(join(partition, `${batch.slice(BATCH.length)}.parquet`), inOne(rows));
      count += rows.length;
    }
    rmSync(folder, { recursive: true });
    syncFolder(journal);
    return count;
  }
}

/** One segment of each session in turn, the oldest first: a VM with many does not keep the others waiting. */
function inTurn(names: readonly string[]): readonly string[] {
  const turns = new Map<string, number>();
  const ranked = [...names].sort().map((name) => {
    const session = name.slice(0, -'.00000000.jsonl'.length);
    const turn = turns.get(session) ?? 0;
    turns.set(session, turn + 1);
    return { name, turn };
  });
  return ranked.sort((a, b) => a.turn - b.turn).map(({ name }) => name);
}

function* rowsIn(path: string, archive: string): Generator<{ readonly partition: string; readonly row: Row }> {
  const [first = '', ...lines] = readFileSync(path, 'utf8').split('\n');
  const facts = parse(first) as (SegmentFacts & { readonly number: number }) | undefined;
  // A crash of the host before the first line was on the disk: there is nothing in it.
  if (facts === undefined) return;
  const { host, vm, boot, session, started, number: segment } = facts;
  let time = BigInt(Date.parse(started)) * 1000n;
  for (const [index, line] of lines.entries()) {
    if (line === '') continue;
    const fields = parse(line) ?? JSON.parse(gapLine(null, 'a damaged line'));
    const place = { host, vm, boot, session, started, segment, line: index + 1 };
    for (const row of rowsOf(fields, place, time))
      yield { partition: partitionOf(archive, row['time'] as bigint, host), row };
    time = timeOf(fields) ?? time;
  }
}

function parse(line: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

async function* inOne(rows: readonly Row[]): AsyncGenerator<readonly Row[]> {
  yield rows;
}

function makeFolder(partition: string): void {
  mkdirSync(partition, { recursive: true });
  syncFolder(join(partition, '..'));
  syncFolder(join(partition, '../..'));
}
