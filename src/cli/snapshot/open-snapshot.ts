/** Opens whatever a command that only asks is given: a file, recognised by what is in it, or a live guest by its sockets. */
import { existsSync } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { PtmonError } from '../../core/error.ts';
import type { LongWorkOptions } from '../../driver/pacer.ts';
import type { Snapshot } from '../../driver/snapshot.ts';
import { openDump } from '../../drivers/dump/index.ts';
import { type GuestMemoryKind, openQemuSnapshot } from '../../drivers/qemu/index.ts';
import { isTrace, openTraceSnapshot } from '../../drivers/trace/index.ts';

export interface SnapshotOptions {
  readonly qmp?: string;
  readonly gdb?: string;
  readonly memory?: GuestMemoryKind | 'auto';
  readonly ramFile?: string;
  readonly ramMap?: string;
}

/** Where a snapshot comes from: the path of a file; undefined for the live guest that the options name. */
export type SourceName = string | undefined;

/** Whether the options name a live guest: then no word of the command line is the path of a file. */
export function isLive({ qmp, gdb }: SnapshotOptions): boolean {
  return qmp !== undefined || gdb !== undefined;
}

/**
 * What the words of a command line are: the first is the source, unless the options name a live guest.
 *
 * @throws PtmonError `bad-argument` where there is no source
 */
export function takeSource<Word extends string>(
  words: readonly Word[],
  options: SnapshotOptions,
): { readonly source: SourceName; readonly rest: readonly Word[] } {
  if (isLive(options)) return { source: undefined, rest: words };
  const [source, ...rest] = words;
  if (source === undefined) throw noSource();
  // Somebody forgot the sockets.
  if (/^(0x[0-9a-f]+|-)$/i.test(source) && !existsSync(source)) throw noSource();
  return { source, rest };
}

/** The same for commands that take nothing else. @throws PtmonError `bad-argument` where there is no source, or more than one */
export function onlySource(word: string | undefined, options: SnapshotOptions): SourceName {
  const { source, rest } = takeSource(word === undefined ? [] : [word], options);
  if (rest.length === 0) return source;
  throw new PtmonError('bad-argument', `with --qmp and --gdb a live guest is read: what is "${rest[0]}"?`);
}

/**
 * @param source a path, or undefined for the live guest
 * @throws PtmonError as `openDump`, `openTraceSnapshot` and `openQemuSnapshot`; `bad-argument` for options that do not go together
 */
export async function openSnapshot(
  source: SourceName,
  options: SnapshotOptions,
  work: LongWorkOptions & { readonly signal: AbortSignal },
): Promise<Snapshot> {
  const { qmp, gdb, memory = 'auto', ramFile, ramMap } = options;
  if (source !== undefined) {
    const isRaw = ramMap !== undefined;
    if (!isRaw && isTrace(await beginningOf(source))) return openTraceSnapshot(source);
    return openDump(source, { ...work, ...(isRaw && { ramMap }) });
  }
  if (qmp === undefined || gdb === undefined) {
    throw new PtmonError('bad-argument', 'a live guest takes both --qmp and --gdb');
  }
  if (ramMap !== undefined) {
    throw new PtmonError('bad-argument', '--ram-map is for files of raw memory: QEMU says itself where its RAM is');
  }
  return openQemuSnapshot({ qmp, gdb, memory, ...(ramFile !== undefined && { ramFile }), signal: work.signal });
}

/** Nothing where it is no file that can be read: who opens it says why. */
async function beginningOf(path: string): Promise<Uint8Array> {
  const stats = await stat(path).catch(() => undefined);
  if (stats?.isFile() !== true) return new Uint8Array();
  const file = await open(path).catch(() => undefined);
  const beginning = await file?.read(new Uint8Array(16), 0, 16, 0).catch(() => undefined);
  await file?.close();
  return beginning?.buffer ?? new Uint8Array();
}

function noSource(): PtmonError {
  return new PtmonError(
    'bad-argument',
    'what is to be read? Give the path of a dump first, or --qmp and --gdb of a live guest',
  );
}
