/** The reply to `g`: all registers of a vCPU, in the order of the target description. GDB manual, "Packets", g. */
import { PtmonError } from '../../../../core/error.ts';
import { littleEndianOfHex } from './hex.ts';
import type { RegisterDescription } from './target-description.ts';

export interface GdbRegisters {
  readonly cr0: bigint;
  readonly cr3: bigint;
  readonly cr4: bigint;
  readonly efer: bigint;
  /** Every register that was sent, unsigned, by the name in the description: `rip`, `gs_base`, `xmm0`, … */
  readonly values: ReadonlyMap<string, bigint>;
}

const PAGING_REGISTERS = ['cr0', 'cr3', 'cr4', 'efer'] as const;

/**
 * Reads the reply to `g`. Registers whose digits are `x` are not available; a reply may end before the last registers.
 *
 * @throws PtmonError `source-unavailable` when a register that paging depends on is not in it, `corrupt-input` when it is no such
 *   reply
 */
export function decodeRegisters(reply: string, descriptions: readonly RegisterDescription[]): GdbRegisters {
  const values = new Map<string, bigint>();
  let at = 0;
  for (const { name, bitSize } of descriptions) {
    const digits = reply.slice(at, at + Math.ceil(bitSize / 8) * 2);
    at += digits.length;
    if (digits.length < Math.ceil(bitSize / 8) * 2) break;
    if (/^x+$/.test(digits)) continue;
    const value = littleEndianOfHex(digits);
    if (value === undefined) {
      throw new PtmonError('corrupt-input', `the gdbstub sent "${digits}" as the register ${name}`);
    }
    values.set(name, value);
  }
  if (reply.length > at || reply.length % 2 !== 0) {
    throw new PtmonError(
      'corrupt-input',
      `the gdbstub sent ${reply.length} digits of registers; its description says ${at}`,
    );
  }
  const [cr0, cr3, cr4, efer] = PAGING_REGISTERS.map((name) => required(values, name));
  return { cr0: cr0!, cr3: cr3!, cr4: cr4!, efer: efer!, values };
}

function required(values: ReadonlyMap<string, bigint>, name: string): bigint {
  const value = values.get(name);
  if (value !== undefined) return value;
  throw new PtmonError(
    'source-unavailable',
    `the gdbstub does not show the register ${name}: ptmon needs an x86 guest and QEMU 4.1 or newer`,
  );
}
