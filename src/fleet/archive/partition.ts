/**
 * The folders of the archive, one for each day and host. `files-NUMBER.json` says which files of a folder count, and which lines are in
 * them; the highest number is in force. Who changes a folder writes its files first and then makes the next number, which only one can:
 * it needs no lock, a crash leaves nothing half done, and a line that comes twice is recognized.
 */
import { accessSync, constants, existsSync, linkSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { basename, join } from 'node:path';
import { isFolder, makeFolder } from '../../driver/make-folder.ts';
import { PtmonError } from '../../core/error.ts';
import { cannotWrite } from '../journal/cannot-write.ts';
import { fileName } from '../journal/file-name.ts';
import { syncFolder } from '../journal/segment.ts';
import type { Positions } from './positions.ts';
import { publish, temporaryOf } from './parquet.ts';
import { writeSynced } from '../journal/write-synced.ts';

export interface PartitionState {
  readonly version: number;
  /** Names of the files that count. */
  readonly files: readonly string[];
  readonly lines: Positions;
}

const LIST = /^files-(\d{12})\.json$/;
/** The same as a pattern of paths. */
export const LISTS = 'files-*.json';
/** Lists that stay, for those who are reading them. */
const KEPT = 4;
/** No process takes so long to write a file. */
const ORPHANED_MS = 3_600_000;

/** @param time in microseconds since 1970 */
export function partitionOf(archive: string, time: number, host: string): string {
  return join(archive, `day=${dayOf(time)}`, `host=${fileName(host)}`);
}

/** `2026-11-29`, in UTC. A time that is none is counted to 1970. */
export function dayOf(time: number): string {
  const date = new Date(time / 1000);
  const year = date.getUTCFullYear();
  return year >= 1970 && year <= 9999 ? date.toISOString().slice(0, 10) : '1970-01-01';
}

/**
 * Where the partitions are: an agent has its archive in `events/`.
 *
 * @throws PtmonError `bad-argument` for a folder without an archive; the system's error where it cannot be read
 */
export function archiveIn(folder: string): string {
  if (isFolder(folder)) {
    const inside = join(folder, 'events');
    if (isFolder(inside)) return inside;
    if (partitionsOf(folder).length > 0) return folder;
  }
  throw new PtmonError('bad-argument', `${folder}: no archive: it has neither events/ nor day=… folders`);
}

/** Folders alone: a file in their place is none of the archive's. */
export function partitionsOf(archive: string): readonly string[] {
  const entries = (folder: string, start: string) =>
    readdirSync(folder)
      .filter((name) => name.startsWith(start))
      .sort()
      .map((name) => join(folder, name))
      .filter(isFolder);
  return isFolder(archive) ? entries(archive, 'day=').flatMap((day) => entries(day, 'host=')) : [];
}

/** @throws PtmonError `bad-argument` where it cannot be written to */
export function makeArchive(archive: string): void {
  try {
    makeFolder(archive);
    accessSync(archive, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw cannotWrite(archive, error);
  }
}

/** Paths of the files with each row once, also while others change the folder. */
export function filesOf(partition: string): readonly string[] {
  const present = (path: string) => (existsSync(path) ? path : temporaryOf(path));
  let lostBefore: string | undefined;
  for (;;) {
    const paths = stateOf(partition).files.map((name) => join(partition, name));
    const found = paths.map(present);
    const lost = found.filter((path) => !existsSync(path)).join('\n');
    if (lost === '') return found.sort();
    // Others may have renamed or removed one meanwhile: look again. One that stays lost is for the reader to report.
    if (lost === lostBefore) return paths.sort();
    lostBefore = lost;
  }
}

/**
 * The same from lists that were read elsewhere, of a copy that nobody changes.
 *
 * @param lists the path and the content of each, of all folders
 */
export function countedFiles(lists: readonly (readonly [path: string, content: string])[]): readonly string[] {
  const newest = new Map<string, PartitionState>();
  for (const [path, content] of lists) {
    const state = parseList(path, content);
    const partition = path.slice(0, path.lastIndexOf('/'));
    if (state.version > (newest.get(partition)?.version ?? 0)) newest.set(partition, state);
  }
  return [...newest].flatMap(([partition, { files }]) => files.map((name) => `${partition}/${name}`)).sort();
}

export function stateOf(partition: string): PartitionState {
  let gone: number | undefined;
  for (;;) {
    const version = versionsIn(partition).at(-1);
    if (version === undefined) return { version: 0, files: parquetIn(partition), lines: {} };
    const path = join(partition, listName(version));
    let content: string;
    try {
      content = readFileSync(path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw Object.assign(error as Error, { path });
      if (version === gone) throw damaged(path, 'it is not there', error);
      // Newer ones have replaced it.
      gone = version;
      continue;
    }
    return parseList(path, content);
  }
}

/** @throws PtmonError `corrupt-input`: without its list, what is in a folder cannot be told from what is left over */
function parseList(path: string, content: string): PartitionState {
  let state: Partial<PartitionState> | null;
  try {
    state = JSON.parse(content) as Partial<PartitionState> | null;
  } catch (error) {
    throw damaged(path, 'not JSON', error);
  }
  const { version, files, lines } = state ?? {};
  const isWhole = Array.isArray(files) && typeof lines === 'object' && lines !== null;
  if (!isWhole || !files.every((name) => typeof name === 'string')) throw damaged(path, 'keys are missing');
  if (version !== Number(LIST.exec(basename(path))?.[1])) throw damaged(path, 'its name has another version');
  return state as PartitionState;
}

function damaged(path: string, why: string, cause?: unknown): PtmonError {
  return new PtmonError(
    'corrupt-input',
    `${path}: damaged list of the archive's files (${why}): restore it from a copy, or move its folder out of the archive`,
    {},
    { cause },
  );
}

/** Removes a file that was written and does not count, where what wrote it has failed. */
export function discard(partition: string, written: string): void {
  try {
    if (!stateOf(partition).files.includes(written)) rmSync(temporaryOf(join(partition, written)), { force: true });
  } catch {
    // It is removed as left over, later.
  }
}

/**
 * Puts the next state in force, and gives its files their names. Returns false where the state is another one by now: read it again, it may
 * contain what was wanted.
 *
 * @param written the one among its files that was written for it
 * @throws where another process has removed that file as left over: the clock was set, or this process was stopped for an hour
 */
export function commit(partition: string, { version, files, lines }: PartitionState, written?: string): boolean {
  const path = join(partition, listName(version + 1));
  if (written !== undefined) statSync(temporaryOf(join(partition, written)));
  const own = join(partition, `${randomUUID()}.tmp`);
  writeSynced(own, JSON.stringify({ version: version + 1, files, lines }));
  try {
    linkSync(own, path);
    syncFolder(partition);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(own, { force: true });
  }
  // This process was so slow that its number had become free again, or another one has gone on from here.
  if (versionsIn(partition).at(-1) !== version + 1) return false;
  settle(partition);
  return true;
}

/** Gives the files of the state in force their names, and removes what belongs to none. */
export function settle(partition: string): void {
  // Listed before the state is read: a file that was committed in between is not in the list.
  const names = readdirSync(partition);
  const { version, files } = stateOf(partition);
  const counted = new Set(files);
  const newestMs = Math.max(...names.map((name) => changedMs(partition, name) ?? -Infinity));
  for (const name of files) {
    if (names.includes(temporaryOf(name))) publishOnce(join(partition, name));
  }
  for (const name of names) {
    const isReplaced = name.endsWith('.parquet') && version > 0 && !counted.has(name);
    const isOld = Number(LIST.exec(name)?.[1] ?? Infinity) <= version - KEPT;
    if (isReplaced || isOld || isOrphaned(partition, name, counted, newestMs))
      rmSync(join(partition, name), { force: true });
  }
}

export function makePartition(partition: string): void {
  if (existsSync(partition)) return;
  makeFolder(partition);
  syncFolder(join(partition, '..'));
  syncFolder(join(partition, '../..'));
}

function publishOnce(path: string): void {
  try {
    publish(path);
  } catch (error) {
    // Another process has done it.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

/** Compared with other files: the clock of this process may be ahead. */
function isOrphaned(partition: string, name: string, counted: ReadonlySet<string>, newestMs: number): boolean {
  if (!name.endsWith('.tmp') || counted.has(name.slice(0, -'.tmp'.length))) return false;
  return newestMs - (changedMs(partition, name) ?? Infinity) > ORPHANED_MS;
}

function changedMs(partition: string, name: string): number | undefined {
  return statSync(join(partition, name), { throwIfNoEntry: false })?.mtimeMs;
}

function versionsIn(partition: string): readonly number[] {
  if (!isFolder(partition)) return [];
  const numbers = readdirSync(partition).flatMap((name) => LIST.exec(name)?.[1] ?? []);
  return numbers.map(Number).sort((a, b) => a - b);
}

function parquetIn(partition: string): readonly string[] {
  return isFolder(partition) ? readdirSync(partition).filter((name) => name.endsWith('.parquet')) : [];
}

function listName(version: number): string {
  return `files-${String(version).padStart(12, '0')}.json`;
}
