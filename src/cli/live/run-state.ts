/** What stands still because a client of QEMU wanted it to, and runs as before when another one wants that. */
const HELD: ReadonlySet<string> = new Set(['paused', 'debug', 'prelaunch']);

/** Whether it helps a guest in this state to be let run: not one that has panicked, or is on its way to another host. */
export function canBeLetRun(state: string): boolean {
  return state === 'running' || HELD.has(state);
}
