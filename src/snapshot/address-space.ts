/** Which tables translate in a snapshot, and by which rules: from its registers, from what it names, or as told. */
import { makePaging, type Paging, rootOf } from '../core/paging/format.ts';
import type { PagingModeName } from '../core/paging/modes.ts';
import { hex } from '../core/address/va.ts';
import { PtmonError } from '../core/error.ts';
import type { LongWorkOptions } from '../driver/pacer.ts';
import { pagingOf } from '../driver/paging.ts';
import type { Snapshot } from '../driver/snapshot.ts';
import { retry } from '../driver/retry.ts';
import { encryptionMaskOf } from './roots/encryption-bit.ts';
import { droppedGapsError, findDroppedGaps, refuseDroppedGaps } from './roots/dropped-gaps.ts';
import { findRoots, type FoundRoot, truncationText } from './roots/find-roots.ts';
import type { Tables } from './space-pieces.ts';

export interface AddressSpaceRequest {
  /** A CR3 value; defaults to the source's own. */
  readonly root?: bigint;
  /** Overrules what the source says. */
  readonly mode?: PagingModeName;
  /**
   * Address bits that memory encryption takes. Defaults to `auto`: what the source names, or else the one bit above RAM that all entries of
   * the root share.
   */
  readonly encryptionMask?: bigint | 'auto';
  /** Whose registers say how addresses are translated; defaults to vCPU 0. */
  readonly vcpu?: number;
}

export interface AddressSpace extends Tables {
  /** How both are known, human-readable. */
  readonly from: string;
  /** Whether a search found it, so that it may be another one. */
  readonly isGuess: boolean;
  /** Why it may not be what is meant, human-readable: the source says otherwise than the caller. */
  readonly doubt?: string;
}

/**
 * The address space that is meant: as told, by the source's registers, by the root that it names, or else by a search through all of its
 * memory, which may take long and whose `from` says how sure it is. What merely looks like a root is not taken.
 *
 * @throws PtmonError `bad-argument` for a vCPU that does not exist, or a root that is none; `source-unavailable` where paging is off, or
 *   there is no root; the reason of the signal when it is aborted
 */
export async function findAddressSpace(
  snapshot: Snapshot,
  request: AddressSpaceRequest = {},
  options: LongWorkOptions = {},
): Promise<AddressSpace> {
  const { encryptionMask = 'auto' } = request;
  const named = encryptionMask === 'auto' ? snapshot.kernelRoot?.encryptionMask : encryptionMask;
  const known = knownAddressSpace(snapshot, request, named);
  if (known !== undefined) {
    const find = () => encryptionMaskOf(snapshot, known.paging, known.root);
    const mask = named ?? (await retry(find, { remote: snapshot.remote, signal: options.signal }));
    const found = mask === 0n ? known : knownAddressSpace(snapshot, request, mask)!;
    // A raw file has no registers: the root is what the caller gave, and where it leads may be somewhere else in the file.
    const gaps = await findDroppedGaps(snapshot, options);
    return gaps === undefined ? found : { ...found, doubt: droppedGapsError(gaps, snapshot.rawBytes ?? 0).message };
  }
  const { root, mode } = request;
  await refuseDroppedGaps(snapshot, options);
  const found = await findRoots(snapshot, {
    ...options,
    encryptionMask,
    ...(mode !== undefined && { modes: [mode] }),
  });
  const wanted = found.find((each) => root === undefined || rootOf(pagingOfRoot(each), root) === each.root);
  if (wanted === undefined) {
    if (root === undefined)
      throw new PtmonError(
        'source-unavailable',
        `${snapshot.description}: no page in it looks like a top-level page table: give --root and --paging`,
      );
    throw new PtmonError(
      'bad-argument',
      `${hex(root)} does not look like a root, so give the guest's paging mode with --paging`,
    );
  }
  // Of memory that is not all there, the root of a boot loader may be the only one that is.
  const isCut = root === undefined && (wanted.cutOffBytes !== undefined || (snapshot.missing?.length ?? 0) > 0);
  if (wanted.confidence === 'possible' || (isCut && wanted.confidence !== 'sure'))
    throw merelyPossible(found, wanted, root);
  const alike = found.filter(({ confidence }) => confidence === wanted.confidence).length;
  const others =
    root !== undefined || alike === 1 ? '' : `; one of ${alike} that are ${wanted.confidence}, --root chooses another`;
  const what = `${wanted.confidence}, ${WHAT[wanted.maps]}: ${wanted.reason}`;
  const how = `found by a search, ${what}${others}${truncationText(wanted)}`;
  return { ...space(pagingOfRoot(wanted), BigInt(wanted.root), how), isGuess: true };
}

/** A table of any level, and many a page of data, looks like a root: to take it for one would be to make an answer up. */
function merelyPossible({ length }: readonly FoundRoot[], best: FoundRoot, wanted: bigint | undefined): PtmonError {
  const { root, mode } = best;
  if (wanted !== undefined) {
    const what = `${hex(wanted)} merely looks like a root of ${mode} paging`;
    return new PtmonError('bad-argument', `${what}, so give the guest's paging mode with --paging`);
  }
  const candidates = length === 1 ? 'a table that merely looks like one' : `${length} tables that merely look like one`;
  return new PtmonError(
    'source-unavailable',
    `there is no page table in this memory that is certainly a root, only ${candidates}, as ${hex(root)} (${mode}). ` +
      `ptmon roots lists them; choose one with --root and --paging${truncationText(best)}`,
  );
}

function pagingOfRoot({ mode, encryptionMask }: FoundRoot): Paging {
  return makePaging({ mode, ...(encryptionMask !== undefined && { encryptionMask }) });
}

const WHAT: Readonly<Record<FoundRoot['maps'], string>> = {
  kernel: "a kernel's half alone, no process's",
  process: "a process's",
  identity: 'memory at its own addresses',
};

/** Undefined where it must be searched for. */
function knownAddressSpace(
  snapshot: Snapshot,
  { root, mode, vcpu = 0 }: AddressSpaceRequest,
  encryptionMask: bigint | undefined,
): AddressSpace | undefined {
  const { registers, kernelRoot } = snapshot;
  const given = { ...(mode !== undefined && { mode }), ...(encryptionMask !== undefined && { encryptionMask }) };
  if (registers !== undefined) {
    const paging = pagingOf(registers, vcpu, given);
    if (paging !== undefined) {
      const how = root === undefined ? `CR3 of vCPU ${vcpu}` : 'as told';
      const own = pagingOf(registers, vcpu, {})?.mode.name;
      const doubt = `the registers of vCPU ${vcpu} say ${own} paging, not ${mode}: what follows is what the tables would be in ${mode} paging`;
      const found = space(paging, root ?? registers.readRegisters(vcpu).cr3, how);
      return mode === undefined || own === undefined || own === mode ? found : { ...found, doubt };
    }
    if (mode === undefined) throw pagingIsOff(vcpu);
  }
  if (kernelRoot !== undefined) {
    const paging = makePaging({ ...given, mode: mode ?? kernelRoot.mode });
    const how = root === undefined ? `the kernel's, by ${kernelRoot.from}` : 'as told';
    return space(paging, root ?? BigInt(kernelRoot.root), how);
  }
  if (root !== undefined && mode !== undefined) return space(makePaging({ ...given, mode }), root, 'as told');
  return undefined;
}

function space(paging: Paging, cr3: bigint, how: string): AddressSpace {
  const root = rootOf(paging, cr3);
  const { mode, encryptionMask } = paging;
  const encrypted = encryptionMask === 0n ? '' : `, encryption bits ${hex(encryptionMask)}`;
  return { paging, root, from: `root ${hex(root)} (${how}), ${mode.name} paging${encrypted}`, isGuess: false };
}

function pagingIsOff(vcpu: number): PtmonError {
  return new PtmonError(
    'source-unavailable',
    `paging is off on vCPU ${vcpu} (CR0.PG is 0): it has no page tables yet, each address is a physical one; let the guest boot`,
    { vcpu },
  );
}
