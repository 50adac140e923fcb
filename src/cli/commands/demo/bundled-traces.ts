/** The traces of real guests that come with ptmon. */
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { PtmonError } from '../../../core/error.ts';

const FOLDER = fileURLToPath(new URL('../../../../traces/', import.meta.url));
const SUFFIX = '.trace';

/** The one that shows a bit of everything. */
export const DEFAULT_TRACE = 'tour';

/** Their names, the default one first. */
export function bundledTraces(): readonly string[] {
  if (!existsSync(FOLDER)) return [];
  const names = readdirSync(FOLDER).flatMap((file) => (file.endsWith(SUFFIX) ? [file.slice(0, -SUFFIX.length)] : []));
  return names.sort((a, b) => Number(b === DEFAULT_TRACE) - Number(a === DEFAULT_TRACE) || a.localeCompare(b));
}

/** @throws PtmonError `bad-argument` where there is none of this name */
export function bundledTrace(name: string): string {
  const names = bundledTraces();
  if (names.includes(name)) return `${FOLDER}${name}${SUFFIX}`;
  throw new PtmonError(
    'bad-argument',
    `there is no trace ${JSON.stringify(name)} here; there are: ${names.join(', ')}`,
  );
}
