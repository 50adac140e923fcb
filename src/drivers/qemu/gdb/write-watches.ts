/** Write watchpoints and breakpoints: GDB manual, "Packets", z and Z. */
import { PtmonError } from '../../../core/error.ts';
import { type GdbConnection, isOutOfStep } from './connection.ts';
import { faultOfReply } from './reply/error-reply.ts';

/**
 * What stops the guest: an instruction that is about to run (Z1), or a write that has touched any of these bytes (Z2).
 *
 * Z0, a software breakpoint, is the same as Z1 under TCG. Under KVM it writes an instruction into the guest's memory: into the page that
 * happens to be there, with all who share it, and into what Linux copies of it.
 */
export type PointKind = 1 | 2;

const POINT_NAMES: Readonly<Record<PointKind, string>> = { 1: 'breakpoint', 2: 'watchpoint' };

/** Stops the guest after a write that touches any of these bytes; of a breakpoint, before the instruction there. */
export interface WriteWatch {
  /** Virtual, zero-extended: watchpoints know no physical addresses. */
  readonly va: bigint;
  /** Under TCG any number; under KVM 1, 2, 4 or 8, aligned to it. */
  readonly byteLength: number;
}

/** QEMU sets the same watchpoint as often as it is told; a client that lost step may have told it several times. */
const MAX_COPIES = 8;

/**
 * The watchpoints that are set.
 *
 * QEMU keeps a list in which the same watchpoint may stand twice, and clears one of them at a time. So one that is set is not set
 * again, and one of which it is not known is cleared until it is gone.
 */
export class WriteWatches {
  readonly #connection: GdbConnection;
  readonly #kind: PointKind;
  readonly #known = new Map<string, 'set' | 'unsure'>();

  constructor(connection: GdbConnection, kind: PointKind = 2) {
    this.#connection = connection;
    this.#kind = kind;
  }

  get count(): number {
    return this.#known.size;
  }

  /** Those that are set, and those of which it is not sure. */
  list(): WriteWatch[] {
    return [...this.#known.keys()].map((argument) => {
      const [va = '', byteLength = ''] = argument.split(',');
      return { va: BigInt(`0x${va}`), byteLength: Number.parseInt(byteLength, 16) };
    });
  }

  has({ va, byteLength }: WriteWatch): boolean {
    return this.#known.get(`${va.toString(16)},${byteLength.toString(16)}`) === 'set';
  }

  /** Those that the stub refused, in their order: under KVM, all beyond the processor's four. */
  async set(watches: readonly WriteWatch[]): Promise<WriteWatch[]> {
    const wanted = unique(watches).filter(([argument]) => this.#known.get(argument) !== 'set');
    await this.#clearUnsure(wanted);
    return this.#tell('Z', wanted);
  }

  /** Those that the stub did not know, in their order. Watches that were never set are passed over. */
  async clear(watches: readonly WriteWatch[]): Promise<WriteWatch[]> {
    const known = unique(watches).filter(([argument]) => this.#known.has(argument));
    await this.#clearUnsure(known);
    const left = known.filter(([argument]) => this.#known.has(argument));
    return this.#tell('z', left);
  }

  async #clearUnsure(watches: readonly (readonly [string, WriteWatch])[]): Promise<void> {
    for (const [argument] of watches) {
      if (this.#known.get(argument) !== 'unsure') continue;
      await this.#clearAll(argument);
      this.#known.delete(argument);
    }
  }

  async #tell(verb: 'Z' | 'z', wanted: readonly (readonly [string, WriteWatch])[]): Promise<WriteWatch[]> {
    for (const [argument] of wanted) this.#known.set(argument, 'unsure');
    const replies = await this.#exchange(
      verb,
      wanted.map(([argument]) => argument),
    );
    const refused: WriteWatch[] = [];
    for (const [at, [argument, watch]] of wanted.entries()) {
      const isDone = replies[at] === 'OK';
      if (isDone && verb === 'Z') this.#known.set(argument, 'set');
      else this.#known.delete(argument);
      if (!isDone) refused.push(this.#refused(replies[at]!, watch));
    }
    return refused;
  }

  async #exchange(verb: 'Z' | 'z', watchArguments: readonly string[]): Promise<string[]> {
    try {
      return await this.#connection.exchange(watchArguments.map((argument) => `${verb}${this.#kind},${argument}`));
    } catch (error) {
      if (!isOutOfStep(error)) throw error;
      // Some were carried out. From a state that is known, one at a time:
      const replies: string[] = [];
      for (const argument of watchArguments) {
        await this.#clearAll(argument);
        replies.push(verb === 'Z' ? await this.#connection.request(`Z${this.#kind},${argument}`) : 'OK');
      }
      return replies;
    }
  }

  async #clearAll(argument: string): Promise<void> {
    for (let copies = 0; copies < MAX_COPIES; copies++) {
      if ((await this.#connection.request(`z${this.#kind},${argument}`)) !== 'OK') return;
    }
  }

  #refused(reply: string, watch: WriteWatch): WriteWatch {
    const fault = faultOfReply(reply);
    if (reply === '' || fault === undefined) {
      const name = POINT_NAMES[this.#kind];
      const what =
        fault === undefined
          ? `answered "${reply.slice(0, 40)}" to a ${name}`
          : `has no ${this.#kind === 2 ? 'write ' : ''}${name}s`;
      const code = fault === undefined ? 'corrupt-input' : 'source-unavailable';
      throw new PtmonError(code, `${this.#connection.address}: the gdbstub ${what}`);
    }
    return watch;
  }
}

/** Each watch once, with what the protocol calls it. */
function unique(watches: readonly WriteWatch[]): [string, WriteWatch][] {
  return [...new Map(watches.map((watch) => [`${watch.va.toString(16)},${watch.byteLength.toString(16)}`, watch]))];
}
