/** Batches of complete segments: who has moved them to a folder of its own is the only one that works on them. */
import { mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { type JournalLine, linesOf } from './read-segment.ts';
import { COMPLETE, syncFolder } from './segment.ts';

/** Segments of one batch, together. */
const BATCH_BYTES = 16 * 2 ** 20;
const BATCH = 'batch-';

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

function claim(journal: string): string | undefined {
  const chosen = inTurn(readdirSync(journal).filter((name) => name.endsWith(COMPLETE)));
  if (chosen.length === 0) return undefined;
  const batch = join(journal, `${BATCH}${randomUUID()}`);
  mkdirSync(batch);
  let byteLength = 0;
  for (const name of chosen) {
    if (byteLength >= BATCH_BYTES) break;
    byteLength += statSync(join(journal, name)).size;
    renameSync(join(journal, name), join(batch, name));
  }
  syncFolder(batch);
  syncFolder(journal);
  return batch;
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
