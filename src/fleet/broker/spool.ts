/**
 * Keeps the journal within its limit while the broker is away. The VM with the most bytes loses its oldest segments, which become one gap
 * with the number of their events: a VM that floods does not push others out.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { sessionOf } from '../journal/batch.ts';
import { type LinePlace, linesOf } from '../journal/read-segment.ts';
import { COMPLETE, gapLine, segmentLine, syncFolder } from '../journal/segment.ts';
import { writeSynced } from '../journal/write-synced.ts';

/** Segments that are being dropped, and those whose gap is written. */
const DROP = 'drop-';
const GONE = 'gone-';
/** It drops more than it must, so that it does so rarely. */
const ROOM = 0.9;

export class Spool {
  readonly #journal: string;
  readonly #maxBytes: number;
  #dropped = 0;

  constructor(journal: string, maxBytes: number) {
    this.#journal = journal;
    this.#maxBytes = maxBytes;
  }

  get dropped(): number {
    return this.#dropped;
  }

  limit(): void {
    for (const name of readdirSync(this.#journal)) {
      if (name.startsWith(GONE)) rmSync(join(this.#journal, name), { recursive: true });
      if (name.startsWith(DROP)) this.#replace(name);
    }
    const sessions = new Map<string, { readonly names: string[]; byteLength: number }>();
    let total = 0;
    const names = readdirSync(this.#journal).filter((name) => name.endsWith(COMPLETE));
    for (const name of names.sort()) {
      const { size } = statSync(join(this.#journal, name));
      const session = sessions.get(sessionOf(name)) ?? { names: [], byteLength: 0 };
      sessions.set(sessionOf(name), session);
      session.names.push(name);
      session.byteLength += size;
      total += size;
    }
    if (total <= this.#maxBytes) return;
    const chosen = new Map<object, string[]>();
    while (total > this.#maxBytes * ROOM) {
      const [largest] = [...sessions.values()].sort((a, b) => b.byteLength - a.byteLength);
      const name = largest?.names.shift();
      if (largest === undefined || name === undefined) break;
      const { size } = statSync(join(this.#journal, name));
      largest.byteLength -= size;
      total -= size;
      chosen.set(largest, [...(chosen.get(largest) ?? []), name]);
    }
    for (const drop of chosen.values()) this.#drop(drop);
  }

  /** Of one session. */
  #drop(names: readonly string[]): void {
    const folder = `${DROP}${randomUUID()}`;
    mkdirSync(join(this.#journal, folder));
    for (const name of names) renameSync(join(this.#journal, name), join(this.#journal, folder, name));
    syncFolder(join(this.#journal, folder));
    syncFolder(this.#journal);
    this.#replace(folder);
  }

  /** The gap has the place of the first line that it stands for. A crash while it is written has it written again. */
  #replace(folder: string): void {
    const journal = this.#journal;
    const names = readdirSync(join(journal, folder)).sort();
    let [count, isUnknown, start]: [number, boolean, LinePlace | undefined] = [0, false, undefined];
    for (const name of names) {
      for (const { fields, place } of linesOf(join(journal, folder, name))) {
        start ??= place;
        if (fields['seq'] !== undefined) count++;
        else if (typeof fields['count'] === 'number') count += fields['count'];
        else if (fields['count'] === null) isUnknown = true;
      }
    }
    const path = join(journal, names[0] ?? '');
    if (start !== undefined && !existsSync(path)) {
      writeSynced(`${path}.tmp`, gapSegment(start, isUnknown ? [count, null] : [count]));
      renameSync(`${path}.tmp`, path);
      this.#dropped += count;
    }
    const gone = join(journal, folder.replace(DROP, GONE));
    renameSync(join(journal, folder), gone);
    syncFolder(journal);
    rmSync(gone, { recursive: true });
  }
}

function gapSegment(
  { host, vm, boot, session, segment, position, after }: LinePlace,
  counts: readonly (number | null)[],
) {
  const at = new Date(after / 1000);
  const facts = { host, vm, boot, session, started: at.toISOString() };
  const lines = counts.map((count) => gapLine(count, 'the spool was full', at));
  return segmentLine(facts, segment, position) + lines.join('');
}
