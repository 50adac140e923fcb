/** How the GDB remote protocol names threads; QEMU's threads are vCPUs. GDB manual, "Packets", thread-id syntax. */
import { numberOfHex } from './hex.ts';

export interface ThreadId {
  /** Undefined where the peer does not speak of processes. QEMU's processes are clusters of vCPUs; a PC has one, 1. */
  readonly pid: number | undefined;
  /** From 1; QEMU's vCPU n is thread n + 1. */
  readonly tid: number;
}

/** Reads `p1.2` or `2`, in hexadecimal digits; undefined for anything else, "any thread" and "all threads" among it. */
export function parseThreadId(text: string): ThreadId | undefined {
  const match = /^(?:p([0-9a-f]{1,8})\.)?([0-9a-f]{1,8})$/i.exec(text);
  if (match === null) return undefined;
  const tid = Number(numberOfHex(match[2]!));
  if (tid === 0) return undefined;
  return { pid: match[1] === undefined ? undefined : Number(numberOfHex(match[1])), tid };
}

/** As `parseThreadId` reads it. */
export function formatThreadId({ pid, tid }: ThreadId): string {
  return pid === undefined ? tid.toString(16) : `p${pid.toString(16)}.${tid.toString(16)}`;
}
