/** Engines in one file each: that of `src/`, and the baseline, which the repository keeps. One form, so that only what they do differs. */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'rolldown';
import type { PageTableMonitor } from '../../src/core/monitor/page-table-monitor.ts';
import { type MakeEngine, makerOf } from '../engines.ts';

// Seen from the compiled file, below build/.
const ROOT = join(import.meta.dirname, '../../..');
export const BASELINE = join(ROOT, 'bench/guard/baseline.mjs');
export const CURRENT = join(import.meta.dirname, 'current.mjs');

/** Writes the engine of `src/` into one file. */
export async function bundleEngine(file: string): Promise<void> {
  const input = 'src/core/monitor/page-table-monitor.ts';
  await build({ cwd: ROOT, input, platform: 'node', output: { file, format: 'esm', minify: true, comments: false } });
}

/** @throws Error when there is no such file */
export async function engineOf(file: string): Promise<MakeEngine> {
  const bundle = (await import(pathToFileURL(file).href)) as { readonly PageTableMonitor: typeof PageTableMonitor };
  return makerOf(bundle.PageTableMonitor);
}
