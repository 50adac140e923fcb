/** Moves complete segments of a journal to the archive. A batch that a crash interrupts is added again: what is there already is recognized. */
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { batchesOf, linesOfBatch, removeBatch } from '../journal/batch.ts';
import { addLines } from './add-lines.ts';
import { mergeFiles } from './merge.ts';
import { dayOf, makeArchive, partitionsOf } from './partition.ts';

export interface KeeperOptions {
  readonly journal: string;
  readonly archive: string;
  /** Days that are kept; older ones are removed. Defaults to all. */
  readonly keepDays?: number | undefined;
}

export class Keeper {
  readonly #options: KeeperOptions;
  readonly #tidier: Tidier;

  constructor(options: KeeperOptions) {
    this.#options = options;
    mkdirSync(options.journal, { recursive: true });
    this.#tidier = new Tidier(options);
  }

  /** Moves all that is complete now. Returns the number of rows. @throws the error of a file system that is full or broken: call it again later */
  async keep(): Promise<number> {
    const { journal, archive } = this.#options;
    let all = 0;
    for (const batch of batchesOf(journal)) {
      const { rows, partitions } = await addLines(archive, [...linesOfBatch(batch)]);
      this.#tidier.note(partitions);
      removeBatch(batch);
      all += rows;
    }
    return all;
  }

  async tidy(now?: Date): Promise<void> {
    await this.#tidier.tidy(now);
  }
}

export class Tidier {
  readonly #archive: string;
  readonly #keepDays: number | undefined;
  /** Folders that have changed since they were tidied; undefined for all. */
  #changed: Set<string> | undefined;

  constructor({ archive, keepDays }: Pick<KeeperOptions, 'archive' | 'keepDays'>) {
    this.#archive = archive;
    this.#keepDays = keepDays;
    makeArchive(archive);
  }

  note(partitions: readonly string[]): void {
    for (const partition of partitions) this.#changed?.add(partition);
  }

  /** Merges small files, and removes old days. */
  async tidy(now: Date = new Date()): Promise<void> {
    if (this.#keepDays !== undefined) {
      const first = `day=${dayOf((now.getTime() - this.#keepDays * 86_400_000) * 1000)}`;
      const old = readdirSync(this.#archive).filter((name) => name.startsWith('day=') && name < first);
      for (const name of old) rmSync(join(this.#archive, name), { recursive: true, force: true });
    }
    const present = partitionsOf(this.#archive);
    for (const partition of present) {
      if (this.#changed?.has(partition) !== false) await mergeFiles(partition);
    }
    this.#changed = new Set();
  }
}
