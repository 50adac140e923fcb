/** Batches of complete segments: who has moved them to a folder of its own is the only one that works on them. */
import { mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { factsOf, type JournalLine, linesOf } from './read-segment.ts';
import { COMPLETE, syncFolder } from './segment.ts';
import { textLinesOf } from './text-lines.ts';

/** Segments of one batch, together. */
const BATCH_BYTES = 16 * 2 ** 20;
const BATCH = 'batch-';
/** Behind the name of a segment that stays where it is, because the line that names its VM is damaged. */
const DAMAGED = '.damaged';

/** Folders of batches: first those that a crash has left, then new ones until no segment is complete. Remove each with `removeBatch`. */
export function* batchesOf(journal: string): Generator<string, void, undefined> {
  for (const name of readdirSync(journal)) if (name.startsWith(BATCH)) yield join(journal, name);
  for (let batch = claim(journal); batch !== undefined; batch = claim(journal)) yield batch;
}

/** In the order of the segments. */
export function* linesOfBatch(batch: string): Generator<JournalLine, void, undefined> {
  for (const name of inTurn(readdirSync(batch))) yield* linesOf(join(batch, name));
}

export function removeBatch(batch: string): void {
  rmSync(batch, { recursive: true });
  syncFolder(join(batch, '..'));
}

/** What is wrong with the journal, and what to do; null where nothing is. */
export function damageIn(journal: string): string | null {
  const paths = readdirSync(journal).flatMap((name) => (name.endsWith(DAMAGED) ? [join(journal, name)] : []));
  if (paths.length === 0) return null;
  return `${paths.join(', ')}: the first line is damaged, so the VM of its events is unknown: repair that line and remove "${DAMAGED}" from the name, or remove the file`;
}

function claim(journal: string): string | undefined {
  let batch: string | undefined;
  let byteLength = 0;
  for (const name of inTurn(readdirSync(journal).filter((each) => each.endsWith(COMPLETE)))) {
    if (byteLength >= BATCH_BYTES) break;
    const path = join(journal, name);
    // Without its first line, the others would be lost in silence.
    if (factsOf(path) === undefined && !isBlank(path)) {
      renameSync(path, `${path}${DAMAGED}`);
      continue;
    }
    if (batch === undefined) mkdirSync((batch = join(journal, `${BATCH}${randomUUID()}`)));
    byteLength += statSync(path).size;
    renameSync(path, join(batch, name));
  }
  if (batch === undefined) return undefined;
  syncFolder(batch);
  syncFolder(journal);
  return batch;
}

/** As a crash of the host leaves a file of which nothing was on the disk. */
function isBlank(path: string): boolean {
  for (const line of textLinesOf(path)) if (/[^\0\s]/.test(line)) return false;
  return true;
}

/** One segment of each session in turn, the oldest first: a VM with many does not keep the others waiting. */
function inTurn(names: readonly string[]): readonly string[] {
  const turns = new Map<string, number>();
  const ranked = [...names].sort().map((name) => {
    const session = sessionOf(name);
    const turn = turns.get(session) ?? 0;
    turns.set(session, turn + 1);
    return { name, turn };
  });
  return ranked.sort((a, b) => a.turn - b.turn).map(({ name }) => name);
}

/** The VM and the session of a complete segment, from its name. */
export function sessionOf(name: string): string {
  return name.slice(0, -'.00000000.jsonl'.length);
}
