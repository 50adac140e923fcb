/**
 * Sampling a guest of QEMU, whatever runs it, KVM among them: its memory is looked at while it runs, and it never stops. All it
 * takes is the QMP socket.
 */
import type {
  Driver,
  PagingRegisters,
  RegisterAccess,
  RemoteFetch,
  SourceEvent,
  WriteProof,
} from '../../../driver/driver.ts';
import { type Sampling, SamplingDriver } from '../../ramfile/index.ts';
import { PtmonError } from '../../../core/error.ts';
import { GuestEnd } from '../guest-end.ts';
import { type FollowedMemory, openFollowedMemory } from '../memory/followed-memory.ts';
import type { GuestMemory, GuestMemoryKind } from '../memory/open-memory.ts';
import { WrittenTables } from '../proof/index.ts';
import { QmpClient } from '../qmp/client.ts';
import { readPrintedRegisters } from '../qmp/info-registers.ts';
import { readPhysicalAddressBits } from '../qmp/physical-address-bits.ts';
import { readRunState } from '../qmp/run-state.ts';

/**
 * Paused by another client (with QEMU's name of the state), running again, a QMP command that QEMU has not answered for a second, or a
 * proof (`QemuSamplingOptions.proof`) that came to its end.
 */
export type SamplingNotice =
  | { readonly kind: 'held'; readonly state: string }
  | { readonly kind: 'unproved'; readonly why: string }
  | { readonly kind: 'free' }
  | { readonly kind: 'silent'; readonly command: string };

export interface QemuSamplingOptions {
  /** QEMU's `-qmp` socket: `unix:/path`, `/path`, `tcp:host:port` or `host:port`. */
  readonly qmp: string;
  /** From the beginning of one sample to that of the next, in milliseconds; 0 samples as often as possible. */
  readonly intervalMs?: number;
  /**
   * Down to which the interval goes while samples find changes. Defaults to `intervalMs`; where that is absent too, they are 100 and
   * 10.
   */
  readonly minIntervalMs?: number;
  /** Where the guest's memory is read: `gdb` reads only a stopped guest. */
  readonly memory?: Exclude<GuestMemoryKind, 'gdb'> | 'auto';
  /** The file that is the guest's memory, where QEMU's own word for it is not right here. */
  readonly ramFile?: string;
  /** How long QEMU may take for each answer, in milliseconds; defaults to 5,000. */
  readonly timeoutMs?: number;
  /**
   * Has the kernel note which tables are written, so that of the others it is known that nothing was lost. Takes root, or CAP_SYS_PTRACE, on
   * QEMU's host, Linux 6.7 or newer, and a C compiler; where any is missing, `QemuSamplingDriver.whyUnproved` says which. Makes one
   * system call in QEMU's process. Defaults to false.
   */
  readonly proof?: boolean;
  /** Told where another client of QEMU pauses and resumes the guest: nothing changes meanwhile. */
  readonly onNotice?: (notice: SamplingNotice) => void;
  readonly signal?: AbortSignal;
}

/**
 * @throws PtmonError `source-unavailable` where the socket does not answer or the memory cannot be read from this host,
 *   `corrupt-input` where the peer does not speak QMP, `bad-argument` for a malformed address; the reason of `options.signal` when
 *   it is aborted
 */
export async function openQemuSampling(options: QemuSamplingOptions): Promise<QemuSamplingDriver> {
  const { timeoutMs, signal, intervalMs, minIntervalMs, memory: kind, ramFile } = options;
  const end = new GuestEnd(options.qmp);
  let said = 'running';
  /** A paused guest looks like one that does nothing. */
  const tellState = async () => {
    const state = await readRunState(qmp).catch(() => undefined);
    if (state === undefined || state === said || end.signal.aborted) return;
    if (state !== 'running') options.onNotice?.({ kind: 'held', state });
    else options.onNotice?.({ kind: 'free' });
    said = state;
  };
  const qmp: QmpClient = await QmpClient.connect(options.qmp, {
    ...(timeoutMs !== undefined && { timeoutMs }),
    ...(signal && { signal }),
    onEvent: (event) => {
      end.hear(event);
      if (event.name === 'STOP' || event.name === 'RESUME') void tellState();
    },
    onLost: (error) => end.lose(error),
    onSilent: (command) => options.onNotice?.({ kind: 'silent', command }),
  });
  try {
    const registers = await readAllRegisters(qmp);
    const guestMemory = await openFollowedMemory({
      qmp,
      guestRuns: true,
      ...(kind !== undefined && { kind }),
      ...(ramFile !== undefined && { ramFile }),
    });
    const physicalAddressBits = await readPhysicalAddressBits(qmp);
    await tellState();
    const proof = options.proof === true ? await openProof(qmp, guestMemory) : undefined;
    const parts = { qmp, end, guestMemory, registers, physicalAddressBits, intervalMs, minIntervalMs };
    if (!(proof instanceof WrittenTables)) return new QemuSamplingDriver({ ...parts, whyUnproved: proof });
    // Where QEMU has ended, that is told instead.
    proof.onEnd = (why) => {
      if (!end.signal.aborted) options.onNotice?.({ kind: 'unproved', why });
    };
    return new QemuSamplingDriver({ ...parts, proof });
  } catch (error) {
    await qmp.close();
    throw error;
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
  readonly qmp: QmpClient;
  readonly end: GuestEnd;
  readonly guestMemory: GuestMemory;
  readonly registers: readonly PagingRegisters[];
  readonly physicalAddressBits: number | undefined;
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
  readonly #end: GuestEnd;

  constructor({ qmp, end, guestMemory, registers, physicalAddressBits, ...parts }: Parts) {
    const { intervalMs, minIntervalMs, proof, whyUnproved } = parts;
    this.#end = end;
    this.proof = proof;
    this.whyUnproved = whyUnproved;
    this.memorySource = guestMemory.description;
    this.#driver = new SamplingDriver({
      name: this.name,
      source: {
        memory: guestMemory.memory,
        ...(guestMemory.remote !== undefined && { remote: guestMemory.remote }),
        clear: () => guestMemory.clear(),
        check: () => guestMemory.check(),
        ...(proof && { writtenFrames: () => proof.writtenFrames() }),
        close: async () => {
          await proof?.close();
          await guestMemory.close();
          await qmp.close();
        },
      },
      ...(intervalMs !== undefined && { intervalMs }),
      ...(minIntervalMs !== undefined && { minIntervalMs }),
    });
    this.memory = this.#driver.memory;
    if (this.#driver.remote !== undefined) this.remote = this.#driver.remote;
    this.registers = new OpeningRegisters(registers, physicalAddressBits);
  }

  /** The interval so far; a copy. */
  get sampling(): Sampling {
    return this.#driver.sampling;
  }

  compared(events: number): void {
    this.#driver.compared(events);
  }

  async *run(signal?: AbortSignal): AsyncGenerator<readonly SourceEvent[], void, undefined> {
    const end = this.#end;
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

export async function readAllRegisters(qmp: QmpClient): Promise<PagingRegisters[]> {
  const vcpus = await qmp.execute('query-cpus-fast');
  if (!Array.isArray(vcpus)) throw new PtmonError('corrupt-input', `${qmp.address}: query-cpus-fast returned no list`);
  const read: PagingRegisters[] = [];
  for (let vcpu = 0; vcpu < vcpus.length; vcpu++) read.push(await readPrintedRegisters(qmp, vcpu));
  return read;
}

/** The registers of all vCPUs as they were when the guest was opened. */
export class OpeningRegisters implements RegisterAccess {
  readonly physicalAddressBits?: number;
  readonly #read: readonly PagingRegisters[];

  constructor(read: readonly PagingRegisters[], physicalAddressBits: number | undefined) {
    this.#read = read;
    if (physicalAddressBits !== undefined) this.physicalAddressBits = physicalAddressBits;
  }

  get vcpuCount(): number {
    return this.#read.length;
  }

  readRegisters(vcpu: number): PagingRegisters {
    const found = this.#read[vcpu];
    if (found !== undefined) return found;
    throw new PtmonError('bad-argument', `there is no vCPU ${vcpu}: the guest has ${this.#read.length}`, { vcpu });
  }
}
