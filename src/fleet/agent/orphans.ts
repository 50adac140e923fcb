/** Processes of an agent that was killed. They end by themselves, and may still write while they do. */
import { readdirSync, readFileSync } from 'node:fs';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';

const PATIENCE_MS = 10_000;
const LOOK_MS = 50;

/**
 * Waits until no process of an earlier agent writes to the folder; in the end by force.
 *
 * @param worker the name of the command that such a process runs; the folder follows it
 */
export async function waitForOrphans(worker: string, folder: string): Promise<void> {
  const startMs = performance.now();
  for (let left = orphansOf(worker, folder); left.length > 0; left = orphansOf(worker, folder)) {
    const isLate = performance.now() - startMs > PATIENCE_MS;
    if (isLate) for (const pid of left) kill(pid);
    await sleep(LOOK_MS);
  }
}

function orphansOf(worker: string, folder: string): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      const words = argumentsOf(pid);
      const at = words.indexOf(worker);
      return at !== -1 && words[at + 1] === folder;
    });
}

function argumentsOf(pid: number): readonly string[] {
  try {
    // Of a process that has ended and was not waited for, there is nothing.
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return [];
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended meanwhile, or is another user's.
  }
}
