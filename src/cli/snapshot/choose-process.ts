/** The process that `--pid` or `--comm` chooses. */
import { PtmonError } from '../../core/error.ts';
import { isWanted, type Process, type ProcessList } from '../../linux/index.ts';

export interface ProcessChoice {
  readonly pid?: number;
  readonly comm?: string;
}

/** @returns a process with memory of its own @throws PtmonError `bad-argument` where there is none, or several */
export function chooseProcess({ processes, faults }: ProcessList, { pid, comm }: ProcessChoice): Process {
  const but = faults.length === 0 ? '' : `, as far as its list of processes can be read (${faults[0]})`;
  if (pid !== undefined) {
    const found = processes.find((process) => process.pid === pid);
    if (found === undefined)
      throw new PtmonError('bad-argument', `the guest has no process ${pid}${but}; ptmon ps lists them`);
    return withMemory(found, `--pid ${pid}`);
  }
  const alike = processes.filter((process) => process.mm !== null && isWanted({ by: { command: comm! } }, process));
  if (alike.length === 1) return withMemory(alike[0]!, `--comm ${comm}`);
  if (alike.length > 1) {
    const pids = alike.map((process) => process.pid).join(', ');
    throw new PtmonError('bad-argument', `--comm ${comm}: several processes have this name; give --pid: ${pids}`);
  }
  throw new PtmonError(
    'bad-argument',
    `--comm ${comm}: the guest has no process of this name with its own memory${but}`,
  );
}

function withMemory(process: Process, option: string): Process {
  if (process.mm !== null && process.roots.length > 0) return process;
  const why = process.isKernelThread ? 'a kernel thread, without memory of its own' : 'a process that has exited';
  throw new PtmonError('bad-argument', `${option} is ${why}`);
}
