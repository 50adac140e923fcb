/**
 * A live guest of QEMU. While nothing watches it, it runs: each question pauses it for as long as the answer takes, and lets it run
 * on. Questions are answered one after the other, since the gdbstub has one client.
 */
import { openQemuSnapshot } from '../../drivers/qemu/index.ts';
import { findAddressSpace } from '../../snapshot/index.ts';
import { type Capabilities, capabilitiesOf } from '../capabilities.ts';
import { Moment } from '../moment.ts';
import type { GuestSource } from './guest-source.ts';

export interface LiveOptions {
  /** Addresses of QEMU's sockets, as `--qmp` and `--gdb` take them. */
  readonly qmp: string;
  readonly gdb?: string | undefined;
  readonly name?: string | undefined;
}

const NO_GDB = 'QEMU has no gdbstub: start it with -gdb unix:PATH,server=on,wait=off';

export class LiveSource implements GuestSource {
  readonly name: string;
  readonly capabilities: Capabilities;
  readonly #options: LiveOptions;
  readonly #signal: AbortSignal | undefined;
  /** Settles when all questions so far are answered. */
  #answered: Promise<unknown> = Promise.resolve();

  constructor(options: LiveOptions, signal?: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
    this.name = options.name ?? options.qmp;
    const why = options.gdb === undefined ? NO_GDB : undefined;
    this.capabilities = capabilitiesOf({ exact: why, sampled: undefined, snapshot: why, write: why, breakpoints: why });
  }

  paused<T>(work: (moment: Moment) => Promise<T>): Promise<T> {
    const answer = this.#answered.then(() => this.#visit(work));
    this.#answered = answer.catch(() => {});
    return answer;
  }

  async close(): Promise<void> {
    await this.#answered;
  }

  async #visit<T>(work: (moment: Moment) => Promise<T>): Promise<T> {
    const { qmp, gdb } = this.#options;
    const signal = this.#signal;
    const snapshot = await openQemuSnapshot({ qmp, gdb: gdb!, ...(signal && { signal }) });
    try {
      const { paging } = await findAddressSpace(snapshot, {}, signal === undefined ? {} : { signal });
      const { memory, remote, registers } = snapshot;
      return await work(new Moment({ paging, memory, remote, registers }, signal));
    } finally {
      await snapshot.close();
    }
  }
}
