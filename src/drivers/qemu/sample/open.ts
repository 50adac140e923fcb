/**
 * Sampling a guest of QEMU, whatever runs it, KVM among them: its memory is looked at while it runs, and it never stops. All it
 * takes is the QMP socket.
 */
import { PtmonError } from '../../../core/error.ts';
import type { Driver, RegisterAccess, RemoteFetch, SourceEvent, WriteProof } from '../../../driver/driver.ts';
import { type Sampling, SamplingDriver } from '../../ramfile/index.ts';
import type { FollowedMemory } from '../memory/followed-memory.ts';
import { WrittenTables } from '../proof/index.ts';
import type { QmpClient } from '../qmp/client.ts';
import { RunningGuest, type RunningGuestOptions, type RunningNotice } from '../running-guest.ts';

/** Or a proof (`QemuSamplingOptions.proof`) that came to its end. */
export type SamplingNotice = RunningNotice | { readonly kind: 'unproved'; readonly why: string };

export interface QemuSamplingOptions extends RunningGuestOptions {
  /** From the beginning of one sample to that of the next, in milliseconds; 0 samples as often as possible. */
  readonly intervalMs?: number;
  /**
   * Down to which the interval goes while samples find changes. Defaults to `intervalMs`; where that is absent too, they are 100 and
   * 10.
   */
  readonly minIntervalMs?: number;
  /**
   * Has the kernel note which tables are written, so that of the others it is known that nothing was lost. Takes root, or CAP_SYS_PTRACE, on
   * QEMU's host, Linux 6.7 or newer, and a C compiler; where any is missing, `QemuSamplingDriver.whyUnproved` says which. Makes one
   * system call in QEMU's process. Defaults to false.
   */
  readonly proof?: boolean;
  /** Told where another client of QEMU pauses and resumes the guest: nothing changes meanwhile. */
  readonly onNotice?: (notice: SamplingNotice) => void;
}

/**
 * @throws PtmonError `source-unavailable` where the socket does not answer or the memory cannot be read from this host,
 *   `corrupt-input` where the peer does not speak QMP, `bad-argument` for a malformed address; the reason of `options.signal` when
 *   it is aborted
 */
export async function openQemuSampling(options: QemuSamplingOptions): Promise<QemuSamplingDriver> {
  const { intervalMs, minIntervalMs, onNotice } = options;
  const guest = await RunningGuest.open(options, onNotice);
  try {
    await guest.reportPauses();
    const proof = options.proof === true ? await openProof(guest.qmp, guest.memory) : undefined;
    const parts = { guest, intervalMs, minIntervalMs };
    if (!(proof instanceof WrittenTables)) return new QemuSamplingDriver({ ...parts, whyUnproved: proof });
    // Where QEMU has ended, that is told instead.
    proof.onEnd = (why) => {
      if (!guest.end.signal.aborted) onNotice?.({ kind: 'unproved', why });
    };
    return new QemuSamplingDriver({ ...parts, proof });
  } catch (error) {
    await guest.close();
    throw guest.end.reasonOf(error);
  }
}

/** @returns why not, where something is missing */
async function openProof(qmp: QmpClient, memory: FollowedMemory): Promise<WrittenTables | string> {
  try {
    return await WrittenTables.open(qmp, memory);
  } catch (error) {
    if (error instanceof PtmonError && error.code === 'source-unavailable') return error.message;
    throw error;
  }
}

interface Parts {
  readonly guest: RunningGuest;
  readonly intervalMs: number | undefined;
  readonly minIntervalMs: number | undefined;
  readonly proof?: WrittenTables;
  readonly whyUnproved?: string | undefined;
}

export class QemuSamplingDriver implements Driver {
  readonly name = 'qemu';
  readonly isSampled = true;
  readonly memory: Driver['memory'];
  readonly remote?: RemoteFetch;
  /** As they were at opening. */
  readonly registers: RegisterAccess;
  /** In a line for people: where the guest's memory is read. */
  readonly memorySource: string;
  readonly proof: WriteProof | undefined;
  /** Why there is no proof, where one was wanted. */
  readonly whyUnproved: string | undefined;
  readonly #driver: SamplingDriver;
  readonly #guest: RunningGuest;

  /** @internal */
  constructor({ guest, intervalMs, minIntervalMs, proof, whyUnproved }: Parts) {
    const { memory } = guest;
    this.#guest = guest;
    this.proof = proof;
    this.whyUnproved = whyUnproved;
    this.memorySource = memory.description;
    this.#driver = new SamplingDriver({
      name: this.name,
      source: {
        memory,
        remote: memory,
        clear: () => memory.clear(),
        check: () => memory.follow(),
        ...(proof && { writtenFrames: () => proof.writtenFrames() }),
        close: async () => {
          await proof?.close();
          await guest.close();
        },
      },
      ...(intervalMs !== undefined && { intervalMs }),
      ...(minIntervalMs !== undefined && { minIntervalMs }),
    });
    this.memory = this.#driver.memory;
    if (this.#driver.remote !== undefined) this.remote = this.#driver.remote;
    this.registers = guest.registers;
  }

  /** The interval so far; a copy. */
  get sampling(): Sampling {
    return this.#driver.sampling;
  }

  compared(events: number): void {
    this.#driver.compared(events);
  }

  async *run(signal?: AbortSignal): AsyncGenerator<readonly SourceEvent[], void, undefined> {
    const { end } = this.#guest;
    try {
      yield* this.#driver.run(signal === undefined ? end.signal : AbortSignal.any([signal, end.signal]));
    } catch (error) {
      // The file of a guest that has ended goes with it.
      if (!end.isShutDown) throw end.failure ?? error;
    }
    if (end.failure !== undefined) throw end.failure;
  }

  close(): Promise<void> {
    return this.#driver.close();
  }
}
