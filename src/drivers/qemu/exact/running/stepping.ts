/** Lets vCPUs that are stopped at a breakpoint run the instruction there, each alone, before the guest runs on. */
import type { GdbClient } from '../../gdb/client.ts';
import { GDB_SIGNAL, type StopReply } from '../../gdb/reply/stop-reply.ts';
import type { ThreadId } from '../../gdb/reply/thread-id.ts';

/** Steps that may have run nothing, one after the other. */
const MAX_STEPS = 4;

interface StoppedThread {
  readonly thread: ThreadId;
  readonly va: bigint;
}

export class BreakpointSteps {
  readonly #gdb: GdbClient;
  readonly #onStep: () => void;
  /** vCPUs that have not run the instruction that they are stopped at, by thread. */
  readonly #waiting = new Map<number, StoppedThread>();

  /** @param onStep called before each step, which lets the guest run */
  constructor(gdb: GdbClient, onStep: () => void) {
    this.#gdb = gdb;
    this.#onStep = onStep;
  }

  stoppedAt(thread: ThreadId, va: bigint): void {
    this.#waiting.set(thread.tid, { thread, va });
  }

  /** Whether any vCPU has an instruction to run. */
  get areDue(): boolean {
    return this.#waiting.size > 0;
  }

  /** Runs the instruction of each vCPU. @returns why one stopped, where that is anything but having run it */
  async run(): Promise<StopReply | undefined> {
    const gdb = this.#gdb;
    for (const { thread, va } of [...this.#waiting.values()]) {
      this.#waiting.delete(thread.tid);
      if (!gdb.hasBreakpoint(va)) continue;
      await gdb.clearBreakpoints([va]);
      let stepped: { readonly reply: StopReply; readonly hasRun: boolean };
      try {
        stepped = await this.#step(thread, va);
      } finally {
        await gdb.setBreakpoints([va]);
      }
      const { reply, hasRun } = stepped;
      if (isStepOf(thread, reply)) continue;
      // A stop of another vCPU came before the step: the instruction is still to be run, without a second report.
      if (!hasRun) this.#waiting.set(thread.tid, { thread, va });
      return reply;
    }
    return undefined;
  }

  /** Steps one vCPU until it has left `va`: QEMU 7.2 at times reports a step, with several vCPUs, that has run nothing. */
  async #step(thread: ThreadId, va: bigint): Promise<{ readonly reply: StopReply; readonly hasRun: boolean }> {
    for (let attempt = 1; ; attempt++) {
      this.#onStep();
      const reply = await this.#gdb.step(thread);
      const { values } = await this.#gdb.readRegisters(thread);
      const hasRun = (values.get('rip') ?? values.get('eip')) !== va;
      // An instruction that jumps to itself never leaves.
      if (hasRun || !isStepOf(thread, reply) || attempt === MAX_STEPS) return { reply, hasRun };
    }
  }
}

/** Whether a thread has stopped because it has run one instruction. */
function isStepOf(thread: ThreadId, reply: StopReply): boolean {
  if (reply.kind !== 'stopped' || reply.signal !== GDB_SIGNAL.trap) return false;
  return reply.watch === undefined && reply.thread?.tid === thread.tid;
}

/** Whether a stop may be one at a breakpoint. */
export function isAtBreakpoint(reply: StopReply | undefined, gdb: GdbClient): boolean {
  return gdb.breakpointCount > 0 && reply?.kind === 'stopped' && reply.signal === GDB_SIGNAL.trap;
}
