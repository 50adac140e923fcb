/**
 * Ctrl-Z: a process that holds guests stopped, or watches them, releases them before it is suspended, instead of keeping them stopped for as
 * long as it is.
 *
 * A program that handles such a signal itself decides itself: then nothing is done here.
 */
import process from 'node:process';

/** What suspends a process of a terminal: signal(7). Nothing catches SIGSTOP. */
const SIGNALS = ['SIGTSTP', 'SIGTTIN', 'SIGTTOU'] as const;

/** Something that keeps a guest stopped. */
export interface GuestHolder {
  /** Has the guest run on, calls `suspended`, and takes the guest back when that is done. Calls it on every path. */
  release(suspended: () => Promise<void>): Promise<void>;
}

const holders = new Set<GuestHolder>();
let isSuspending = false;

/** From now on. @returns what ends that */
export function releaseWhenSuspended(holder: GuestHolder): () => void {
  if (holders.size === 0) for (const name of SIGNALS) process.on(name, handle);
  holders.add(holder);
  return () => {
    if (!holders.delete(holder) || holders.size > 0) return;
    for (const name of SIGNALS) process.off(name, handle);
  };
}

/** A process that is to be suspended is suspended when the returned function is called: what it does meanwhile is short. */
export function deferSuspension(): () => void {
  let end = () => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const stopListening = releaseWhenSuspended({ release: (suspended) => ended.then(suspended) });
  return () => {
    stopListening();
    end();
  };
}

function handle(name: (typeof SIGNALS)[number]): void {
  if (isSuspending || process.listenerCount(name) > 1) return;
  isSuspending = true;
  void suspend().finally(() => {
    isSuspending = false;
  });
}

async function suspend(): Promise<void> {
  let goOn = () => {};
  const continued = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  const asked = new Set<GuestHolder>();
  // One that ends may have made another.
  for (let fresh = [...holders]; fresh.length > 0; fresh = [...holders].filter((holder) => !asked.has(holder))) {
    for (const holder of fresh) asked.add(holder);
    await Promise.all(fresh.map((holder) => isReleased(holder, continued)));
  }
  // The signal's own action is void where no shell of the session could continue the process (an orphaned process group); who sent the
  // signal can. The call returns when it is continued.
  process.kill(process.pid, 'SIGSTOP');
  goOn();
}

/** Resolves when the guest of a holder runs, or the holder has failed, which its own calls report. */
function isReleased(holder: GuestHolder, continued: Promise<void>): Promise<void> {
  return new Promise((resolve) => {
    const suspended = () => {
      resolve();
      return continued;
    };
    holder.release(suspended).then(resolve, () => resolve());
  });
}
