/** The machine that figures were taken on, in the words that tell two of them apart. */
import { arch, availableParallelism, cpus, loadavg, totalmem, type } from 'node:os';
import process from 'node:process';

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly system: string;
  readonly node: string;
  /** Processes that ran or waited to run, on average over the last minute: before and after the measuring. */
  readonly load: readonly [before: number, after: number];
}

export function describeMachine(loadBefore: number): Machine {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${type()} ${arch()}`,
    node: process.versions.node,
    load: [loadBefore, currentLoad()],
  };
}

/** Of the last minute. */
export function currentLoad(): number {
  return loadavg()[0]!;
}
