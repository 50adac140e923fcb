/** What keeps QEMU from being traced, or from making a userfaultfd: seccomp(2), ptrace(2), and proc(5), /proc/PID/status. */
import { readFileSync } from 'node:fs';

/**
 * Whether QEMU runs under a filter that is not its own (`-sandbox on`, which lets it make a userfaultfd). What that one does about a call
 * cannot be asked: systemd's `SystemCallFilter=` ends the process.
 */
export function hasForeignFilters(pid: number): boolean {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const count = Number(/^Seccomp_filters:\s*(\d+)/m.exec(status)?.[1] ?? 0);
  return count > (isSandboxed(readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')) ? 1 : 0);
}

function isSandboxed(words: readonly string[]): boolean {
  return words.some((word, at) => /^--?sandbox$/.test(word) && /^(enable=)?on\b/.test(words[at + 1] ?? ''));
}

/** The process that traces QEMU, a debugger for example; a process has one at most. Undefined where there is none. */
export function tracerOf(pid: number): number | undefined {
  const tracer = Number(/^TracerPid:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
  return tracer === 0 ? undefined : tracer;
}
