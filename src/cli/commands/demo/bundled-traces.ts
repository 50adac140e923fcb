/** The traces of real guests that the package contains. */
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { PtmonError } from '../../../core/error.ts';

const FOLDER = fileURLToPath(new URL('../../../../traces/', import.meta.url));
const SUFFIX = '.trace';

/** Shows events of every kind. */
export const DEFAULT_TRACE = 'tour';

/** Their names, the default one first. */
export function bundledTraces(): readonly string[] {
  if (!existsSync(FOLDER)) return [];
  const names = readdirSync(FOLDER).flatMap((file) => (file.endsWith(SUFFIX) ? [file.slice(0, -SUFFIX.length)] : []));
  return names.sort((a, b) => Number(b === DEFAULT_TRACE) - Number(a === DEFAULT_TRACE) || a.localeCompare(b));
}

/** @throws PtmonError `bad-argument` for an unknown name */
export function bundledTrace(name: string): string {
  const names = bundledTraces();
  if (names.includes(name)) return `${FOLDER}${name}${SUFFIX}`;
  throw new PtmonError(
    'bad-argument',
    `no recording ${JSON.stringify(name)} in this package; give one of ${names.join(', ')}`,
  );
}
