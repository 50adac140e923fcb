/** Where a guest comes from: what gives its memory at a moment at which nothing changes. */
import type { Capabilities } from '../capabilities.ts';
import type { Moment } from '../moment.ts';

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
  /** Releases the guest. May be called again. */
  close(): Promise<void>;
}
