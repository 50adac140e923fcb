/** The states in which a QEMU client has paused a guest, and any client can resume it. */
const RESUMABLE: ReadonlySet<string> = new Set(['paused', 'debug', 'prelaunch']);

/** Whether a guest in this state can be resumed: not after a panic, or during a migration. */
export function canResume(state: string): boolean {
  return state === 'running' || RESUMABLE.has(state);
}
