/** The output of `ptmon ps` (docs/formats/linux.md). */
import { hex } from '../../../core/address/va.ts';
import type { Process } from '../../../linux/index.ts';
import { JSONL_VERSION } from '../../../sinks/jsonl-format.ts';
import { columns } from '../../output/columns.ts';
import { printable } from '../../../sinks/printable.ts';
import { fitLine } from '../../../sinks/text-width.ts';

/** One line, with its line feed. */
export function processJson(process: Process): string {
  const { task, mm, roots, startTime: _startTime, ...plain } = process;
  return `${JSON.stringify({
    v: JSONL_VERSION,
    kind: 'process',
    ...plain,
    roots: roots.map(hex),
    task: hex(task),
    mm: mm === null ? null : hex(mm),
  })}\n`;
}

const HEADING = ['pid', 'parent', 'user', 'state', 'threads', 'root', 'command'];
const NUMBERS = new Set([0, 1, 2, 4]);

/** Lines without line feeds, of at most `width` columns. A kernel thread is in brackets, as in ps(1). */
export function processTable(processes: readonly Process[], width: number): string[] {
  const rows = processes.map(({ pid, parent, euid, state, threads, roots, command, isKernelThread }) => [
    String(pid),
    String(parent),
    String(euid),
    state,
    String(threads.length),
    roots.length === 0 ? '-' : roots.map(hex).join(','),
    printable(isKernelThread ? `[${command}]` : command),
  ]);
  return columns([HEADING, ...rows], { right: NUMBERS, gap: 2 }).map((line) => fitLine(line, width));
}
