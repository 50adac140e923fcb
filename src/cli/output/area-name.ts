import { printable } from '../../sinks/printable.ts';

/** What tables call an area of memory. */
export function areaName(name: string): string {
  return name === '' ? 'anonymous' : printable(name);
}
