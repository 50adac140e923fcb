/** The processes that an agent has do its work. */
import { type ChildProcess, spawn } from 'node:child_process';
import process from 'node:process';

/**
 * In a session of its own: Ctrl-C reaches the agent alone, which ends each process when its time has come.
 *
 * @param program the words after Node's own
 * @param memoryMiB limit of the JavaScript heap
 */
export function startChild(program: readonly string[], memoryMiB: number): ChildProcess {
  return spawn(process.execPath, [`--max-old-space-size=${memoryMiB}`, ...program], {
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
}
