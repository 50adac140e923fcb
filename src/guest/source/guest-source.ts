/** Where a guest comes from: what gives its memory at a moment at which nothing changes. */
import type { Capabilities } from '../capabilities.ts';
import type { BreakpointSet } from '../hooks/breakpoint.ts';
import type { ProcessHooks } from '../hooks/process-hooks.ts';
import type { LiveSession } from '../session/live-session.ts';
import type { Moment } from '../moment.ts';

/** A live guest that is watched. */
export interface Watching {
  readonly live: LiveSession;
  readonly breakpoints: BreakpointSet;
  readonly processHooks: ProcessHooks;
}

export interface GuestSource {
  /** A path, or a VM's name. */
  readonly name: string;
  readonly capabilities: Capabilities;
  /**
   * Does `work` with the guest paused; it runs on when the promise settles, if it ran before.
   *
   * @throws what the source and `work` throw
   */
  paused<T>(work: (moment: Moment) => Promise<T>): Promise<T>;
  /**
   * Does `work` with the session that watches the guest, opened if need be: its guest is stopped until `LiveSession.start`. Where nothing
   * is watched afterwards, the guest runs without us.
   *
   * @throws PtmonError `bad-argument` where nothing can be watched; as `LiveSession.open`; what `work` throws
   */
  watching<T>(work: (watching: Watching) => Promise<T>): Promise<T>;
  /** Lets the guest run without us where nothing is watched any more: once whatever has led to that is done. */
  releaseIfIdle(): void;
  /** Releases the guest. May be called again. @param leaveStopped leaves a live guest stopped where it is watched */
  close(leaveStopped?: boolean): Promise<void>;
}
