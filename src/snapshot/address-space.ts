/** Which tables translate in a snapshot, and by which rules: from its registers, from what it names, or as told. */
import { makePaging, type Paging, rootOf } from '../core/paging/format.ts';
import type { PagingModeName } from '../core/paging/modes.ts';
import { pagingFromRegisters } from '../core/paging/registers.ts';
import { hex } from '../core/address/va.ts';
import { PtmonError } from '../core/error.ts';
import type { Snapshot } from '../driver/snapshot.ts';

export interface AddressSpaceRequest {
  /** A CR3 value; the source's own unless told. */
  readonly root?: bigint;
  /** Overrules what the source says. */
  readonly mode?: PagingModeName;
  /** Whose registers say how addresses are translated; vCPU 0 unless told. */
  readonly vcpu?: number;
}

export interface AddressSpace {
  readonly paging: Paging;
  /** Physical address of the top-level table. */
  readonly root: number;
  /** How both are known, in words for people. */
  readonly from: string;
}

/**
 * @throws PtmonError `bad-argument` for a vCPU that does not exist, or where nobody knows root or mode and they were not told;
 *   `source-unavailable` where paging is off
 */
export function addressSpaceOf(snapshot: Snapshot, request: AddressSpaceRequest = {}): AddressSpace {
  const { registers, kernelRoot } = snapshot;
  const { root, mode, vcpu = 0 } = request;
  if (registers !== undefined) {
    const found = registers.readRegisters(vcpu);
    const options = pagingFromRegisters(found);
    if (options !== undefined) {
      const { physicalAddressBits } = registers;
      const paging = makePaging({
        ...options,
        ...(mode !== undefined && { mode }),
        ...(physicalAddressBits !== undefined && { physicalAddressBits }),
      });
      return space(paging, root ?? found.cr3, root === undefined ? `CR3 of vCPU ${vcpu}` : 'as told');
    }
    if (mode === undefined) throw pagingIsOff(vcpu);
  }
  if (kernelRoot !== undefined) {
    const { encryptionMask, from } = kernelRoot;
    const paging = makePaging({
      mode: mode ?? kernelRoot.mode,
      ...(encryptionMask !== undefined && { encryptionMask }),
    });
    return space(paging, root ?? BigInt(kernelRoot.root), root === undefined ? `the kernel's, by ${from}` : 'as told');
  }
  if (root !== undefined && mode !== undefined) return space(makePaging({ mode }), root, 'as told');
  throw new PtmonError(
    'bad-argument',
    'nobody knows the registers of this source: give --root 0x… and --paging, as ptmon roots finds them',
  );
}

function space(paging: Paging, cr3: bigint, how: string): AddressSpace {
  const root = rootOf(paging, cr3);
  return { paging, root, from: `root ${hex(root)} (${how}), ${paging.mode.name} paging` };
}

function pagingIsOff(vcpu: number): PtmonError {
  return new PtmonError(
    'source-unavailable',
    `paging is off on vCPU ${vcpu} (CR0.PG is 0): it has no page tables yet, each address is a physical one; let the guest boot`,
    { vcpu },
  );
}
