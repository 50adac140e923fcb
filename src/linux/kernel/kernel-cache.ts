/** What was found in kernels, in the user's cache folder: a small file for each build id. */
import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { makeFolder } from '../../driver/make-folder.ts';
import type { KernelCache, KernelPlaces } from './kernel-places.ts';

/** Changes when the meaning of a file does. */
const VERSION = 1;
/** More kernels are not looked through. */
const MAX_FILES = 256;

/** The folder: `ptmon/kernels` in XDG_CACHE_HOME, else in `~/.cache`. */
export function kernelCacheFolder(env: NodeJS.ProcessEnv = process.env): string {
  const cache = env['XDG_CACHE_HOME'] ?? '';
  return join(cache === '' ? join(homedir(), '.cache') : cache, 'ptmon', 'kernels');
}

/** A cache is an economy: a folder that cannot be read is empty, and one that cannot be written to stays as it is. */
export function kernelCache(folder: string = kernelCacheFolder()): KernelCache {
  return {
    all: () => read(folder),
    add: (places) => {
      try {
        makeFolder(folder);
        const file = join(folder, `${places.buildId}.json`);
        const half = `${file}.${process.pid}`;
        writeFileSync(half, `${JSON.stringify({ v: VERSION, ...places })}\n`);
        renameSync(half, file);
      } catch {
        // Found again the next time.
      }
    },
  };
}

function read(folder: string): KernelPlaces[] {
  const found: KernelPlaces[] = [];
  try {
    for (const name of readdirSync(folder).slice(0, MAX_FILES)) {
      if (!/^[0-9a-f]{40}\.json$/.test(name)) continue;
      const places = placesOf(readFileSync(join(folder, name), 'utf8'));
      if (places !== undefined && name === `${places.buildId}.json`) found.push(places);
    }
  } catch {
    // The folder is not there yet, or what is in it was removed meanwhile.
  }
  return found;
}

/** Undefined for what is not of this version, or not a file of ours. */
function placesOf(text: string): KernelPlaces | undefined {
  let said: unknown;
  try {
    said = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof said !== 'object' || said === null) return undefined;
  const { v, note, buildId, btf, initTask, kernelRoot, gate } = said as Record<string, unknown>;
  const areOffsets = [note, btf, initTask, kernelRoot ?? 0, gate ?? 0].every(Number.isSafeInteger);
  if (v !== VERSION || typeof buildId !== 'string' || !areOffsets) return undefined;
  return { buildId, note, btf, initTask, kernelRoot: kernelRoot ?? null, gate: gate ?? null } as KernelPlaces;
}
