/** The source of a page or a report: a trace, a dump, two dumps, or an archive. */
import { statSync } from 'node:fs';
import { PassThrough } from 'node:stream';
import { PtmonError } from '../../core/error.ts';
import { openError } from '../../driver/input-file.ts';
import { attach, type Guest } from '../../guest/index.ts';
import { isTraceFile, openTrace } from '../../drivers/trace/index.ts';
import { openSession } from '../../session/index.ts';
import { jsonlSink } from '../../sinks/jsonl.ts';
import { FileSceneSource, noWalk, walkGuest, walkTrace } from '../../web/scene/file-source.ts';
import { comparisonScene, type SpaceChoice, snapshotScene } from '../../web/scene/snapshot-scene.ts';
import { traceScene } from '../../web/scene/trace-scene.ts';
import type { SceneSource } from '../../web/scene/scene-source.ts';
import { openArchive } from './open-archive.ts';
import type { RootOption } from '../options/address.ts';
import { recordedKinds } from '../trace/about-text.ts';

/** @throws PtmonError `bad-argument` for other numbers of files; as the trace and the dumps */
export async function openFiles(
  paths: readonly string[],
  { of, ...choice }: SourceChoice,
  signal: AbortSignal,
): Promise<SceneSource> {
  const [first, second, ...others] = paths;
  if (first === undefined)
    throw new PtmonError(
      'bad-argument',
      'no source: give the path of a trace, a dump or an archive, or --vm of a live guest',
    );
  if (others.length > 0)
    throw new PtmonError(
      'bad-argument',
      `unexpected argument "${others[0]}": one trace, one dump, two dumps, or one archive`,
    );
  const folder = paths.find(isFolder);
  if (folder !== undefined) {
    if (second !== undefined)
      throw new PtmonError('bad-argument', `${folder} is a folder: only dumps can be compared; give an archive alone`);
    refuseChoice(choice, 'an archive shows all that was watched');
    return openArchive(folder, of, signal);
  }
  if (of !== undefined) throw new PtmonError('bad-argument', `--of is for an archive: ${first} is a file`);
  const traces = paths.filter(isTraceFile);
  if (traces.length > 0 && second !== undefined)
    throw new PtmonError('bad-argument', `${traces[0]} is a trace: only dumps can be compared; give a trace alone`);
  if (traces.length > 0) return openTraceFile(first, choice, signal);
  return second === undefined ? openDumpFile(first, choice, signal) : openPair(first, second, choice, signal);
}

/** What of a source is shown. */
export type SourceChoice = SpaceChoice & {
  /** The VM, of an archive. */
  readonly of?: string;
};

/** The options of both commands that choose what is shown. */
export interface SpaceOptions {
  readonly of?: string;
  readonly pid?: number;
  readonly comm?: string;
  readonly root?: RootOption;
}

/** @throws PtmonError `bad-argument` for a root that only a vCPU could tell */
export function choiceOf({ pid, comm, root, of }: SpaceOptions): SourceChoice {
  if (root === 'current')
    throw new PtmonError('bad-argument', '--root current is the default: give 0x… or leave it out');
  return {
    ...(pid !== undefined && { pid }),
    ...(comm !== undefined && { comm }),
    ...(root !== undefined && { root }),
    ...(of !== undefined && { of }),
  };
}

/** @throws PtmonError where there is nothing */
function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch (error) {
    throw openError(path, error);
  }
}

function refuseChoice({ pid, comm, root }: SpaceChoice, why: string): void {
  if (pid === undefined && comm === undefined && root === undefined) return;
  throw new PtmonError('bad-argument', `--pid, --comm and --root are for a dump or a live guest: ${why}`);
}

async function openTraceFile(path: string, choice: SpaceChoice, signal: AbortSignal): Promise<SceneSource> {
  refuseChoice(choice, 'a trace shows all it has');
  const scene = await traceScene(path, signal);
  return new FileSceneSource({
    scene,
    walk: (request) => walkTrace(path, request),
    lines: (stop) => replayLines(path, stop),
  });
}

async function openDumpFile(path: string, choice: SpaceChoice, signal: AbortSignal): Promise<SceneSource> {
  const guest = await attach(path, { signal });
  try {
    const scene = await snapshotScene(guest, choice);
    return new FileSceneSource({ scene, walk: (request) => walkGuest(guest, request), close: () => guest.close() });
  } catch (error) {
    await guest.close();
    throw error;
  }
}

async function openPair(a: string, b: string, choice: SpaceChoice, signal: AbortSignal): Promise<SceneSource> {
  const scenes = [];
  for (const path of [a, b]) {
    const guest: Guest = await attach(path, { signal });
    try {
      scenes.push(await snapshotScene(guest, choice));
    } finally {
      await guest.close();
    }
  }
  return new FileSceneSource({
    scene: comparisonScene(scenes[0]!, scenes[1]!),
    walk: noWalk('this is a comparison of two dumps'),
  });
}

/** What `ptmon replay --json` prints. */
async function* replayLines(path: string, signal: AbortSignal): AsyncGenerator<string, void, undefined> {
  const out = new PassThrough({ encoding: 'utf8' });
  const { driver, script } = openTrace(path);
  const { about } = driver;
  const session = await openSession({
    driver,
    script,
    kinds: recordedKinds(about),
    sinks: [jsonlSink(out, { options: about.options })],
    signal,
  });
  const done = session.run().finally(() => out.end());
  done.catch(() => {});
  for await (const text of out) yield String(text);
  await done;
}
