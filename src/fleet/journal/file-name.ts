/** Names of files that are made of names that a VM's owner or a guest chooses. */
import { createHash } from 'node:crypto';

const MAX_LENGTH = 80;

/**
 * A name that is one component of a path, is not hidden, and has no meaning to a shell, a glob pattern, or a subject of NATS. Different names
 * give different results.
 */
export function fileName(name: string): string {
  const bytes = Buffer.from(name);
  // `%` introduces what is replaced, so it is replaced itself.
  const safe = Array.from(bytes, (byte) => {
    const character = String.fromCharCode(byte);
    return /[A-Za-z0-9_-]/.test(character) ? character : `%${byte.toString(16).padStart(2, '0')}`;
  }).join('');
  if (safe !== '' && safe.length <= MAX_LENGTH) return safe;
  return `${safe.slice(0, MAX_LENGTH - 20)}%h${createHash('sha256').update(bytes).digest('hex').slice(0, 16)}`;
}
