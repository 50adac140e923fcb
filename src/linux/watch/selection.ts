/** What is to be watched: which processes, and which parts of their memory. */
import type { MemoryArea } from '../maps/memory-area.ts';
import type { TaskBrief } from '../process/task-reader.ts';

/** A part of a process's memory; `anon` is what has no name. */
export type MapChoice =
  | { readonly kind: 'named'; readonly name: string }
  | { readonly kind: 'at'; readonly va: bigint };

export interface ProcessSelection {
  /** The process of this number; or all of this name, which /proc/PID/comm says, those that come later among them. */
  readonly by: { readonly pid: number } | { readonly command: string };
  /** Defaults to all of its memory. */
  readonly map?: MapChoice;
}

/** A name is kept in 15 bytes. */
const COMM_BYTES = 15;

export function isWanted({ by }: ProcessSelection, { pid, command }: Pick<TaskBrief, 'pid' | 'command'>): boolean {
  if ('pid' in by) return pid === by.pid;
  return command === Buffer.from(by.command).subarray(0, COMM_BYTES).toString();
}

/** Whether an area is of the part that is wanted: by its path, by the last name of its path, by a name in brackets with them or without. */
export function isOfMap(choice: MapChoice, { start, end, name }: MemoryArea): boolean {
  if (choice.kind === 'at') return choice.va >= start && choice.va < end;
  const path = name.replace(/ \(deleted\)$/, '');
  return [name, path, path.slice(path.lastIndexOf('/') + 1), nameOf(name)].includes(choice.name);
}

/** An area as a tag: `heap`, `/usr/bin/nginx`, `anon`. */
export function nameOf(name: string): string {
  return name === '' ? 'anon' : name.replace(/^\[(.*)\]$/, '$1');
}
