/** Which process of the guest a PID or a name means. */
import { PtmonError } from '../core/error.ts';
import { isWanted, type Process } from '../linux/index.ts';

/** More names than this help nobody. */
const MAX_NAMED = 20;

/**
 * @param which a PID, or a name that one process has; a text of digits is a PID where no process has it as its name
 * @returns a process with memory of its own
 * @throws PtmonError `bad-argument` where there is none, naming those that there are; where several have the name, with their PIDs
 */
export function findProcess(processes: readonly Process[], which: number | string): Process {
  if ((typeof which !== 'string' || which === '') && !(Number.isSafeInteger(which) && Number(which) > 0))
    throw new PtmonError('bad-argument', `process ${shown(which)}: give a PID, as a number, or a name`);
  const alike = processes.filter((process) => isMeant(process, which));
  if (alike.length === 0 && typeof which === 'string' && /^[1-9]\d{0,9}$/.test(which))
    return findProcess(processes, Number(which));
  // A process that has exited keeps its name until its parent has waited for it.
  const living = alike.filter(({ mm, roots }) => mm !== null && roots.length > 0);
  if (living.length > 1) {
    const pids = living.map(({ pid }) => pid).join(', ');
    throw new PtmonError('bad-argument', `process "${which}": several have this name; give a PID: ${pids}`);
  }
  const [found] = living;
  if (found !== undefined) return found;
  throw alike[0] === undefined ? noProcess(which, processes) : noMemory(alike[0]);
}

function isMeant(process: Process, which: number | string): boolean {
  return isWanted({ by: typeof which === 'number' ? { pid: which } : { command: which } }, process);
}

function noMemory({ command, pid, isKernelThread }: Process): PtmonError {
  const why = isKernelThread ? 'is a kernel thread: it has no memory of its own' : 'has exited: its memory is gone';
  return new PtmonError('bad-argument', `${command}[${pid}] ${why}`);
}

function noProcess(which: number | string, processes: readonly Process[]): PtmonError {
  const programs = processes.filter(({ isKernelThread }) => !isKernelThread);
  const names = programs.slice(0, MAX_NAMED).map(({ command, pid }) => `${command}[${pid}]`);
  const more = programs.length > MAX_NAMED ? ` and ${programs.length - MAX_NAMED} more` : '';
  const what = typeof which === 'number' ? `no process ${which}` : `no process named "${which}"`;
  return new PtmonError('bad-argument', `the guest has ${what}; it has ${names.join(', ')}${more}`);
}

function shown(value: unknown): string {
  return typeof value === 'string' ? `"${value}"` : String(value);
}
