/**
 * Looks through all memory for top-level tables. What they look like is not enough: a table of a lower level looks like a root, too. What
 * tells is that a kernel has to write to its page tables, so a root's own upper half maps the root itself, writable: through a direct
 * map, a self-map, or the kernel's image, whatever the system.
 */
import { gfnOf, PAGE_BYTES, paOf } from '../../core/address/pa.ts';
import type { Pa, Va } from '../../core/address/types.ts';
import { hex, vaOf } from '../../core/address/va.ts';
import { READ_OK } from '../../core/memory/physical-memory.ts';
import { PtmonError } from '../../core/error.ts';
import { makePaging, type Paging } from '../../core/paging/format.ts';
import type { PagingModeName } from '../../core/paging/modes.ts';
import type { Piece } from '../../core/paging/pieces.ts';
import { RIGHT_NO_EXECUTE, RIGHT_USER, RIGHT_WRITABLE } from '../../core/paging/rights.ts';
import { retry } from '../../driver/retry.ts';
import { type LongWorkOptions, Pacer } from '../../driver/pacer.ts';
import type { Snapshot } from '../../driver/snapshot.ts';
import { type Candidate, candidateAt, isAllZero, mayBeRoots, PAGE_WORDS, ramTest } from './candidates.ts';
import { EncryptionCensus } from './encryption-bit.ts';
import { readableBytes } from './file-pages.ts';
import { findFirmwareRam, ramBehind } from './listed-ram.ts';
import { spacePieces } from '../space-pieces.ts';
import { memoryChunks, searchedRegions } from './memory-chunks.ts';
import { pointedAt } from './pointed-at.ts';
import { partitionPoint } from '../../core/struct/partition-point.ts';

/**
 * `sure`: it maps itself, and so do others with the same upper half, or that half has a kernel's code. `likely`: one of these. `possible`:
 * it looks like one.
 */
export type RootConfidence = 'sure' | 'likely' | 'possible';

export interface FoundRoot {
  /** Physical address. */
  readonly root: Pa;
  readonly mode: PagingModeName;
  readonly confidence: RootConfidence;
  /** What it maps: a kernel alone, a process as well, or memory at its own addresses, as firmware does. */
  readonly maps: 'kernel' | 'process' | 'identity';
  /** Human-readable. */
  readonly reason: string;
  /** Address bits that memory encryption takes; absent where it takes none. */
  readonly encryptionMask?: bigint;
  /** Roots that have the same upper half, this one among them. */
  readonly sharing: number;
  /** Entries of its lower half that lead somewhere: 0 for a kernel's own. */
  readonly userEntries: number;
  /** Bytes of RAM that a raw file lacks at its end, if it is known to be truncated. */
  readonly cutOffBytes?: number;
}

export interface FindRootsOptions extends LongWorkOptions {
  /** Address bits that memory encryption takes; defaults to `auto`: the bit above RAM that page tables share, if they do. */
  readonly encryptionMask?: bigint | 'auto';
  /** The modes that are looked for; defaults to all. */
  readonly modes?: readonly PagingModeName[];
}

/** A guest has a root for each process; memory that is full of them is made up. */
const MAX_CANDIDATES = 2 ** 14;
/** Upper halves that are gone through, the most frequent first. */
const MAX_GROUPS = 64;
/** A kernel uses hardly any table twice that is not one piece; what is made up does. */
const MAX_REPEATS = 2 ** 9;
/** Pieces after which the code of a kernel is not looked for any more: a guest of 256 MiB has some 2,000. */
const MAX_PIECES = 2 ** 15;
/** Of a kernel's code, at least: 256 KiB. */
const CODE_PAGES = 64;

/** The widest first. */
const MODES: readonly PagingModeName[] = ['5-level', '4-level', 'pae', '32-bit'];
const ORDER: readonly RootConfidence[] = ['sure', 'likely', 'possible'];

/**
 * The best first. Of a raw file that was cut off, tables may be missing: that is noticed where nothing is sure without them.
 *
 * @throws what reading throws; the reason of the signal when it is aborted
 */
export async function findRoots(snapshot: Snapshot, options: FindRootsOptions = {}): Promise<readonly FoundRoot[]> {
  const found = await searchWhole(snapshot, options);
  if (snapshot.rawBytes === undefined || found[0]?.confidence === 'sure') return found;
  const missing = ramBehind(await findFirmwareRam(snapshot, new Pacer(options)), readableBytes(snapshot));
  const cutOffBytes = missing.reduce((sum, { byteLength }) => sum + byteLength, 0);
  if (cutOffBytes === 0) return found;
  return (await searchWhole({ ...snapshot, missing }, options)).map((root) => ({ ...root, cutOffBytes }));
}

/** What is to be said of a root in a raw file that is truncated, and the others in it; empty where it is not known to be. */
export function truncationText({ cutOffBytes }: FoundRoot): string {
  return cutOffBytes === undefined
    ? ''
    : `; the file is truncated: by the firmware's list of RAM, ${cutOffBytes} bytes are missing at its end`;
}

async function searchWhole(snapshot: Snapshot, options: FindRootsOptions): Promise<readonly FoundRoot[]> {
  const { encryptionMask = 'auto' } = options;
  const census = new EncryptionCensus(snapshot);
  const plain = await search(snapshot, encryptionMask === 'auto' ? 0n : encryptionMask, options, census);
  if (encryptionMask !== 'auto' || census.mask === 0n || plain[0]?.confidence === 'sure') return plain;
  const encrypted = await search(snapshot, census.mask, options);
  // Tables that map memory from 4 GiB on share a bit as well: what is not better says nothing.
  const rank = ([best]: readonly FoundRoot[]) => (best === undefined ? ORDER.length : ORDER.indexOf(best.confidence));
  return rank(encrypted) < rank(plain) ? encrypted : plain;
}

/** As `findRoots`, but of these pages alone, and without memory encryption. */
export function findRootsAmong(
  snapshot: Snapshot,
  pages: readonly number[],
  options: Omit<FindRootsOptions, 'encryptionMask'>,
): Promise<readonly FoundRoot[]> {
  return search(snapshot, 0n, { ...options, pages });
}

interface SearchOptions extends FindRootsOptions {
  /** Where roots may be; everywhere where it is absent. */
  readonly pages?: readonly number[];
}

async function search(
  snapshot: Snapshot,
  encryptionMask: bigint,
  options: SearchOptions,
  census?: EncryptionCensus,
): Promise<readonly FoundRoot[]> {
  // Entries of 32 bits have no bit to spare.
  const maskIn = (mode: PagingModeName) => (mode === '32-bit' ? 0n : encryptionMask);
  const pagings = (options.modes ?? MODES).map((mode) => makePaging({ mode, encryptionMask: maskIn(mode) }));
  const candidates = await findCandidates(snapshot, pagings, options, census);
  const groups = groupsOf(candidates);
  const evidence = new Map<Candidate, Evidence>();
  for (const group of groups.slice(0, MAX_GROUPS)) {
    const { mapped, code } = await mappedByThemselves(snapshot, group, options);
    // Tables that have nothing but themselves in their upper half have nothing in common.
    const agreeing =
      group[0]!.kernelHalf === '' ? 1 : [...mapped.keys()].filter(({ hasUserTables }) => hasUserTables).length;
    for (const [candidate, at] of mapped) {
      // Where memory lies elsewhere, large pages still map a root. Its own tables are not where it says they are.
      const isSure = candidate.hasUserTables && (agreeing > 1 || code !== undefined);
      evidence.set(candidate, { agreeing, hasCode: code !== undefined, isSure, at });
    }
  }
  await doubtMoved(snapshot, evidence, options);
  const sure = new Set([...evidence.keys()].filter((candidate) => evidence.get(candidate)!.isSure));
  // Where nothing is sure, what maps itself tells which of two modes a frame is a root in, and no more.
  const best = sure.size > 0 ? sure : new Set(evidence.keys());
  const parts = partsOf(best);
  // A frame that is a root in two modes is one of the wider entries, of which every second half looks like nothing in the other.
  const byMode = [...best].sort((a, b) => MODES.indexOf(b.paging.mode.name) - MODES.indexOf(a.paging.mode.name));
  const roots = new Map(byMode.map((candidate) => [candidate.root, candidate]));
  const found = groups.flatMap((group) =>
    group
      .filter((each) => isBest(each, roots, sure.size > 0) && !parts.has(partKey(each)))
      .map((each) => judge(each, group.length, evidence.get(each), roots)),
  );
  return found.sort(
    (a, b) =>
      ORDER.indexOf(a.confidence) - ORDER.indexOf(b.confidence) ||
      b.sharing - a.sharing ||
      a.userEntries - b.userEntries ||
      a.root - b.root,
  );
}

async function findCandidates(
  snapshot: Snapshot,
  pagings: readonly Paging[],
  options: SearchOptions,
  census: EncryptionCensus | undefined,
): Promise<Candidate[]> {
  const { memory, remote, regions, missing = [] } = snapshot;
  const isRam = ramTest([...regions, ...missing].sort((a, b) => a.pa - b.pa));
  const total = searchedRegions(snapshot).reduce((sum, { byteLength }) => sum + byteLength, 0);
  const pacer = new Pacer(options);
  const found: Candidate[] = [];
  let done = 0;
  for await (const { pa, words } of memoryChunks(snapshot, options)) {
    for (let page = 0; page < words.length; page += PAGE_WORDS) {
      done += PAGE_BYTES;
      if (pacer.isDue) await pacer.turn({ what: 'searching for page tables', done, total, unit: 'bytes' });
      if (isAllZero(words, page)) continue;
      census?.add(words, page);
      for (const paging of pagings) {
        for (const at of mayBeRoots(paging, words, page, isRam)) {
          const describe = () => candidateAt({ paging, memory, isRam }, words, at, pa + at * 4);
          const candidate = await retry(describe, { remote, signal: options.signal });
          if (candidate !== undefined && found.length < MAX_CANDIDATES) found.push(candidate);
        }
      }
    }
  }
  return found;
}

/** Those of one mode with the same upper half, the largest group first. */
function groupsOf(candidates: readonly Candidate[]): Candidate[][] {
  const groups = new Map<string, Candidate[]>();
  for (const candidate of candidates) {
    const key = `${candidate.paging.mode.name} ${candidate.kernelHalf}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [candidate]);
    else group.push(candidate);
  }
  return [...groups.values()].sort((a, b) => b.length - a.length);
}

interface Evidence {
  /** Roots with the same upper half that it maps, this one among them. */
  readonly agreeing: number;
  readonly hasCode: boolean;
  readonly isSure: boolean;
  /** Where its upper half maps it; undefined where that is known of a self-map alone. */
  readonly at: Va | undefined;
  /** Whether all agrees but that nothing points at it. */
  readonly isForgotten?: boolean;
}

/**
 * Of raw memory of 32-bit kernels, which map all of it by large pages: what is at `at` may be something else that a hole in the file has
 * moved there. Then nothing points at it. A table that another one follows in memory, which it leads to, seems to lead to itself where the
 * hole has one page. Where it is the kernel's way, all its roots do.
 */
async function doubtMoved(
  snapshot: Snapshot,
  evidence: Map<Candidate, Evidence>,
  options: LongWorkOptions,
): Promise<void> {
  if (snapshot.rawBytes === undefined) return;
  const doubtful = [...evidence].filter(([{ paging }, { isSure }]) => isSure && paging.mode.name === '32-bit');
  if (doubtful.length === 0) return;
  const wanted = new Set(doubtful.flatMap(([, { at }]) => at ?? []));
  const found = wanted.size === 0 ? wanted : await pointedAt(snapshot, wanted, options);
  for (const [candidate, known] of doubtful) {
    if (known.at === undefined ? known.agreeing > 1 : found.has(known.at)) continue;
    evidence.set(candidate, { ...known, isSure: false, isForgotten: known.at !== undefined });
  }
}

interface Mapped {
  /** With where each is mapped; undefined for one that is known by its self-map. */
  readonly mapped: ReadonlyMap<Candidate, Va | undefined>;
  /** Where the code of a kernel is. */
  readonly code: Va | undefined;
}

/** Those that their common upper half maps, writable by the kernel alone. */
async function mappedByThemselves(
  snapshot: Snapshot,
  group: readonly Candidate[],
  options: LongWorkOptions,
): Promise<Mapped> {
  const [{ paging, root, highHalf }] = group as [Candidate];
  if (!highHalf) return { mapped: new Map(), code: undefined };
  const from = paging.mode.canonical ? vaOf(paging.highStart, 0) : 0x8000_0000n;
  const byFrame = [...group].sort((a, b) => a.root - b.root);
  const frames = Float64Array.from(byFrame, (candidate) => gfnOf(candidate.root));
  const selfMapped = group.filter(({ selfMap }) => selfMap !== undefined);
  const mapped = new Map<Candidate, Va | undefined>(selfMapped.map((candidate) => [candidate, undefined]));
  let code: Va | undefined;
  let count = 0;
  try {
    const space = { paging, root };
    for await (const batch of spacePieces(snapshot, space, { ...options, from, maxRepeats: MAX_REPEATS })) {
      for (const piece of batch) {
        const { vpn, gfn, pages, step, rights } = piece;
        if (code === undefined && isCode(snapshot, piece)) code = vaOf(vpn, 0);
        if ((rights & (RIGHT_WRITABLE | RIGHT_USER)) !== RIGHT_WRITABLE) continue;
        const end = step === 0 ? gfn + 1 : gfn + pages;
        for (let at = firstAtLeast(frames, gfn); at < frames.length && frames[at]! < end; at++)
          if (!mapped.has(byFrame[at]!)) mapped.set(byFrame[at]!, vaOf(vpn + frames[at]! - gfn, 0));
      }
      count += batch.length;
      if (mapped.size === group.length && (group.length > 1 || code !== undefined || count > MAX_PIECES)) break;
    }
  } catch (error) {
    // Tables without end are no kernel's; a page that cannot be read is another matter.
    if (!(error instanceof PtmonError) || error.code !== 'corrupt-input' || error.facts.offset !== undefined)
      throw error;
  }
  return { mapped, code };
}

/** Whether pages are what a kernel's code is: many, next to each other, to be executed and not to be written by it alone, and not empty. */
function isCode(snapshot: Snapshot, { gfn, pages, step, rights }: Piece): boolean {
  if ((rights & (RIGHT_WRITABLE | RIGHT_USER | RIGHT_NO_EXECUTE)) !== 0 || pages < CODE_PAGES || step === 0)
    return false;
  const samples = [0, 1, 2, 3].map((part) => paOf(gfn + Math.floor((pages * part) / 4)));
  const entry = new Uint32Array(2);
  const isFull = (pa: number) =>
    [0, 1024, 2048, 3072].some((offset) => {
      return snapshot.memory.readEntry(pa + offset, 8, entry) === READ_OK && (entry[0]! | entry[1]!) !== 0;
    });
  return samples.filter(isFull).length >= 3;
}

/** The tables right below roots that are sure: a kernel's PML4 under 5-level paging looks like a root of 4-level paging. */
function partsOf(sure: ReadonlySet<Candidate>): ReadonlySet<string> {
  const parts = [...sure].flatMap(({ root, paging, tables }) => {
    const mode = SHORTER[paging.mode.name];
    return mode === undefined ? [] : tables.filter((table) => table !== root).map((table) => `${mode} ${table}`);
  });
  return new Set(parts);
}

/** Whether nothing better is known: that the frame is another root, or that the guest pages otherwise. */
function isBest(candidate: Candidate, sure: ReadonlyMap<number, Candidate>, isSure: boolean): boolean {
  const known = sure.get(candidate.root);
  if (known !== undefined) return known === candidate;
  return !isSure || [...sure.values()].some(({ paging }) => paging === candidate.paging);
}

/** The mode whose root is a table of the second level in this one. */
const SHORTER: Partial<Record<PagingModeName, PagingModeName>> = { '5-level': '4-level' };

function partKey({ paging, root }: Candidate): string {
  return `${paging.mode.name} ${root}`;
}

function judge(
  candidate: Candidate,
  sharing: number,
  evidence: Evidence | undefined,
  roots: ReadonlyMap<number, Candidate>,
): FoundRoot {
  const { root, paging, userEntries, selfMap, userHalf, highHalf, isIdentity } = candidate;
  const maps = isIdentity ? 'identity' : userEntries === 0 ? 'kernel' : 'process';
  const { encryptionMask } = paging;
  const base = {
    root: root as Pa,
    mode: paging.mode.name,
    ...(encryptionMask !== 0n && { encryptionMask }),
    maps,
    sharing,
    userEntries,
  } as const;
  if (evidence !== undefined) {
    const how =
      selfMap === undefined
        ? 'its upper half maps the table itself, writable'
        : `its entry ${selfMap} is the table itself`;
    const { hasCode, isSure, isForgotten } = evidence;
    const more = hasCode ? ", and has a kernel's code" : '';
    if (isSure) return { ...base, confidence: 'sure', reason: `${how}${more}` };
    const but = !candidate.hasUserTables
      ? 'what its lower half leads to does not look like tables'
      : isForgotten === true
        ? 'nothing in memory points at it'
        : 'nothing else agrees';
    if (!isIdentity) return { ...base, confidence: 'likely', reason: `${how}; ${but}` };
  }
  if (isIdentity) {
    return { ...base, confidence: 'likely', reason: 'it maps memory, itself included, at its own addresses' };
  }
  // Page-table isolation: the kernel's root and the user's lie in two frames that follow each other.
  const pair = roots.get(root - PAGE_BYTES);
  if (pair !== undefined && pair.userHalf === userHalf) {
    return { ...base, confidence: 'likely', reason: `the user's half of a pair, the kernel's is ${hex(pair.root)}` };
  }
  if (sharing > 1 && highHalf) {
    return { ...base, confidence: 'possible', reason: `${sharing} tables have the same upper half` };
  }
  return { ...base, confidence: 'possible', reason: 'it looks like a root' };
}

function firstAtLeast(sorted: Float64Array, value: number): number {
  return partitionPoint(sorted.length, (index) => sorted[index]! < value);
}
