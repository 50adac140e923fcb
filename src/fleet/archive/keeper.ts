/** Moves complete segments of a journal to the archive. A batch that a crash interrupts is added again: what is there already is recognized. */
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { errorText } from '../../core/error.ts';
import { makeFolder } from '../../driver/make-folder.ts';
import { batchesOf, linesOfBatch, removeBatch } from '../journal/batch.ts';
import type { JournalLine } from '../journal/read-segment.ts';
import { addLines } from './add-lines.ts';
import { mergeFiles } from './merge.ts';
import { dayOf, makeArchive, partitionsOf } from './partition.ts';

/** Lines that become files together. */
const PORTION_BYTES = 16 * 2 ** 20;

export interface KeeperOptions {
  readonly journal: string;
  readonly archive: string;
  /** Days that are kept; older ones are removed, but not those days with events that are the newest. Defaults to all. */
  readonly keepDays?: number | undefined;
}

export class Keeper {
  readonly #options: KeeperOptions;
  readonly #tidier: Tidier;

  constructor(options: KeeperOptions) {
    this.#options = options;
    makeFolder(options.journal);
    this.#tidier = new Tidier(options);
  }

  /**
   * Moves all that is complete now. Returns the number of rows.
   *
   * @param isOver asked after each batch
   * @throws the error of a file system that is full or broken, or of a folder that is damaged: call it again later
   */
  async keep(isOver: () => boolean = () => false): Promise<number> {
    const { journal, archive } = this.#options;
    let [all, damage]: [number, Error | undefined] = [0, undefined];
    for (const batch of batchesOf(journal)) {
      let isWhole = true;
      for (const lines of portionsOf(linesOfBatch(batch))) {
        const added = await addLines(archive, lines);
        this.#tidier.note(added.partitions);
        all += added.rows;
        damage ??= added.damage;
        isWhole &&= added.left.size === 0;
      }
      if (isWhole) removeBatch(batch);
      if (isOver()) break;
    }
    if (damage !== undefined) throw damage;
    return all;
  }

  async tidy(now?: Date): Promise<void> {
    await this.#tidier.tidy(now);
  }
}

/** A file of the journal may be as large as the policy allows; memory is not. */
function* portionsOf(lines: Iterable<JournalLine>): Generator<readonly JournalLine[], void, undefined> {
  let [portion, byteLength]: [JournalLine[], number] = [[], 0];
  for (const line of lines) {
    portion.push(line);
    byteLength += line.text.length;
    if (byteLength < PORTION_BYTES) continue;
    yield portion;
    [portion, byteLength] = [[], 0];
  }
  if (portion.length > 0) yield portion;
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
      const days = readdirSync(this.#archive).filter((name) => name.startsWith('day='));
      // A clock that is set ahead removes nothing at once: as many days stay as it would have seen.
      const newest = new Set(days.sort().slice(-this.#keepDays));
      const old = days.filter((name) => name < first && !newest.has(name));
      for (const name of old) rmSync(join(this.#archive, name), { recursive: true, force: true });
    }
    const changed = this.#changed;
    this.#changed = new Set();
    let damage: unknown;
    for (const partition of partitionsOf(this.#archive)) {
      if (changed?.has(partition) === false) continue;
      try {
        await mergeFiles(partition);
      } catch (error) {
        damage ??= new Error(`${partition}: ${errorText(error)}`, {
          cause: error,
        });
        // Reported again in the next round, until it is mended.
        this.#changed.add(partition);
      }
    }
    if (damage !== undefined) throw damage;
  }
}
