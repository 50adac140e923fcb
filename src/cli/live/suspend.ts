/** Ctrl-Z: the guest runs unwatched while this process is suspended, instead of staying stopped with it. */
import process from 'node:process';
import type { QemuDriver } from '../../drivers/qemu/index.ts';

/** What suspends a process of a terminal: signal(7). */
const SIGNALS = ['SIGTSTP', 'SIGTTIN', 'SIGTTOU'] as const;

/** From now on. @returns what gives the signals back */
export function runUnwatchedWhileSuspended(qemu: QemuDriver, say: (line: string) => unknown): () => void {
  let isSuspending = false;
  const suspend = async () => {
    if (isSuspending) return;
    isSuspending = true;
    try {
      await qemu.runUnwatched(() => {
        // Comes back when the process is continued. Nothing catches SIGSTOP.
        process.kill(process.pid, 'SIGSTOP');
      });
      await say('Suspended and continued: the guest ran unwatched meanwhile. Changes that reverted are lost.');
    } catch {
      // A guest that is gone ends the watch by itself.
    } finally {
      isSuspending = false;
    }
  };
  const caught = () => void suspend();
  for (const name of SIGNALS) process.on(name, caught);
  return () => {
    for (const name of SIGNALS) process.off(name, caught);
  };
}
