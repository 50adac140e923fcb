/**
 * A guest that runs while it is watched: what sampling and the plugin have in common. All it takes is the QMP socket. A guest that another
 * client pauses looks like one that does nothing, so that is reported.
 */
import type { RegisterAccess } from '../../driver/driver.ts';
import { knownRegisters } from '../../driver/known-registers.ts';
import { GuestEnd } from './guest-end.ts';
import { type FollowedMemory, openFollowedMemory } from './memory/followed-memory.ts';
import type { GuestMemoryKind } from './memory/open-memory.ts';
import { QmpClient } from './qmp/client.ts';
import { readAllRegisters } from './qmp/info-registers.ts';
import { readPhysicalAddressBits } from './qmp/physical-address-bits.ts';
import { readRunState } from './qmp/run-state.ts';

/** Paused by another client (with QEMU's name of the state), running again, or a QMP command that QEMU has not answered for a second. */
export type RunningNotice =
  | { readonly kind: 'held'; readonly state: string }
  | { readonly kind: 'free' }
  | { readonly kind: 'silent'; readonly command: string };

export interface RunningGuestOptions {
  /** QEMU's `-qmp` socket: `unix:/path`, `/path`, `tcp:host:port` or `host:port`. */
  readonly qmp: string;
  /** Where the guest's memory is read: `gdb` reads only a stopped guest. */
  readonly memory?: Exclude<GuestMemoryKind, 'gdb'> | 'auto';
  /** The file that is the guest's memory, where the path that QEMU reports does not exist on this host. */
  readonly ramFile?: string;
  /** How long QEMU may take for each answer, in milliseconds; defaults to 5,000. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

interface Parts {
  readonly qmp: QmpClient;
  readonly end: GuestEnd;
  readonly memory: FollowedMemory;
  readonly registers: RegisterAccess;
  readonly onNotice: (notice: RunningNotice) => void;
}

export class RunningGuest {
  readonly qmp: QmpClient;
  readonly end: GuestEnd;
  readonly memory: FollowedMemory;
  /** As they were at opening. */
  readonly registers: RegisterAccess;
  readonly #onNotice: (notice: RunningNotice) => void;
  #state = 'running';

  /** @throws PtmonError as `openQemuSampling` */
  static async open(
    options: RunningGuestOptions,
    onNotice: (notice: RunningNotice) => void = () => {},
  ): Promise<RunningGuest> {
    const { timeoutMs, signal, memory: kind, ramFile } = options;
    const end = new GuestEnd(options.qmp);
    const qmp = await QmpClient.connect(options.qmp, {
      ...(timeoutMs !== undefined && { timeoutMs }),
      ...(signal && { signal }),
      onEvent: (event) => end.hear(event),
      onLost: (error) => end.lose(error),
      onSilent: (command) => onNotice({ kind: 'silent', command }),
    });
    try {
      const registers = knownRegisters('guest', await readAllRegisters(qmp), await readPhysicalAddressBits(qmp));
      const memory = await openFollowedMemory({
        qmp,
        guestRuns: true,
        ...(kind !== undefined && { kind }),
        ...(ramFile !== undefined && { ramFile }),
      });
      return new RunningGuest({ qmp, end, memory, registers, onNotice });
    } catch (error) {
      await qmp.close();
      throw end.reasonOf(error);
    }
  }

  private constructor({ qmp, end, memory, registers, onNotice }: Parts) {
    this.qmp = qmp;
    this.end = end;
    this.memory = memory;
    this.registers = registers;
    this.#onNotice = onNotice;
  }

  /**
   * Reports from now on where another client pauses and resumes the guest. Stops of the caller's own come before that.
   *
   * @param onResume called where it runs again: its memory may be another one (`loadvm`, an incoming migration)
   */
  async reportPauses(onResume: () => void = () => {}): Promise<void> {
    this.qmp.subscribe(({ name }) => {
      if (name === 'STOP' || name === 'RESUME') void this.#reportState(onResume);
    });
    await this.#reportState(onResume);
  }

  async close(): Promise<void> {
    await this.memory.close();
    await this.qmp.close();
  }

  async #reportState(onResume: () => void): Promise<void> {
    const state = await readRunState(this.qmp).catch(() => undefined);
    if (state === undefined || state === this.#state || this.end.signal.aborted) return;
    this.#state = state;
    if (state === 'running') onResume();
    this.#onNotice(state === 'running' ? { kind: 'free' } : { kind: 'held', state });
  }
}
