/** What is to be watched: which processes, and which parts of their memory. */
import { PtmonError } from '../../core/error.ts';
import type { MemoryArea } from '../maps/memory-area.ts';
import type { TaskBrief } from '../process/task-reader.ts';

/** A part of a process's memory; `anon` is what has no name. */
export type MapChoice =
  | { readonly kind: 'named'; readonly name: string }
  | { readonly kind: 'at'; readonly va: bigint };

export interface ProcessSelection {
  /**
   * The process of this number; or all of this name, which /proc/PID/comm says, those that come later among them; or all of these names, in
   * which `*` stands for any text.
   */
  readonly by: { readonly pid: number } | { readonly command: string } | { readonly commands: readonly string[] };
  /** Defaults to all of its memory. */
  readonly map?: MapChoice;
}

/** A name is kept in 15 bytes. */
const COMM_BYTES = 15;

export function isWanted({ by }: ProcessSelection, { pid, command }: Pick<TaskBrief, 'pid' | 'command'>): boolean {
  if ('pid' in by) return pid === by.pid;
  if ('commands' in by) return by.commands.some((pattern) => matchesName(cut(pattern), command));
  return command === cut(by.command);
}

/** Whether a pattern, in which `*` stands for any text, is of the whole name. */
export function matchesName(pattern: string, name: string): boolean {
  const [first = '', ...rest] = pattern.split('*');
  const last = rest.pop();
  if (last === undefined) return name === pattern;
  if (!name.startsWith(first)) return false;
  let at = first.length;
  for (const part of rest) {
    const found = name.indexOf(part, at);
    if (found === -1) return false;
    at = found + part.length;
  }
  return name.length - last.length >= at && name.endsWith(last);
}

/** Linux cuts a name; a pattern is not cut, because its end may match. */
function cut(name: string): string {
  return name.includes('*') ? name : Buffer.from(name).subarray(0, COMM_BYTES).toString();
}

/** Whether an area is of the part that is wanted: by its path, by the last name of its path, by a name in brackets with them or without. */
export function isOfMap(choice: MapChoice, { start, end, name }: MemoryArea): boolean {
  if (choice.kind === 'at') return choice.va >= start && choice.va < end;
  const path = name.replace(/ \(deleted\)$/, '');
  return [name, path, path.slice(path.lastIndexOf('/') + 1), nameOf(name)].includes(choice.name);
}

/** The areas of that part. @throws PtmonError `bad-argument` where there is none, naming the areas that `process` has */
export function areasOfMap(
  process: string,
  areas: readonly MemoryArea[],
  choice: MapChoice | undefined,
): readonly MemoryArea[] {
  if (choice === undefined) return areas;
  const fitting = areas.filter((area) => isOfMap(choice, area));
  if (fitting.length > 0) return fitting;
  const names = [...new Set(areas.map(({ name }) => nameOf(name)))].join(', ');
  throw new PtmonError('bad-argument', `${process} has no area ${mapText(choice)}; it has ${names}`);
}

/** As `--map` takes it. */
export function mapText(choice: MapChoice): string {
  return choice.kind === 'at' ? `0x${choice.va.toString(16)}` : choice.name;
}

/** An area as a tag: `heap`, `/usr/bin/nginx`, `anon`. */
export function nameOf(name: string): string {
  return name === '' ? 'anon' : name.replace(/^\[(.*)\]$/, '$1');
}
