/**
 * The time that this process was at work, on all its threads: what the machine does besides then takes its caches, but not its
 * time. Compiling and collecting garbage on other threads counts, though nobody waits for it.
 */
import process from 'node:process';

/** Milliseconds since the process began. */
export function workedMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
