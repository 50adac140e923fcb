/** One spoiled dump: whatever is done with it ends soon, in an answer or in an error that says where. */
import { writeFileSync } from 'node:fs';
import process from 'node:process';
import { PtmonError } from '../../../../src/core/error.ts';
import { walk } from '../../../../src/core/paging/walk.ts';
import { openDump } from '../../../../src/drivers/dump/index.ts';
import { findAddressSpace, findRoots, listRanges } from '../../../../src/snapshot/index.ts';
import { Random } from '../../../oracle/random.ts';
import { BASES, type FuzzedFormat, KERNEL_VA, TABLES_AT } from './bases.ts';
import { spoiled } from './spoil.ts';

/** What an attempt may take of the processor: how long it waits for one says nothing. What hangs, the watchdog ends. */
const MAX_MS = 10_000;
const MAX_BYTES = 300 * 2 ** 20;

export type Outcome = 'opened' | 'refused' | 'failed later';

/**
 * Spoils a dump by a seed, and uses it.
 *
 * @param path of the file that is written for it
 * @throws Error that says what is wrong with the outcome
 */
export async function attempt(format: FuzzedFormat, seed: number, path: string): Promise<Outcome> {
  const random = new Random(seed);
  const bytes = spoiled(random.pick(BASES[format]), random);
  // Raw memory is refused at once unless it is whole pages.
  writeFileSync(path, format === 'raw' ? bytes.subarray(0, bytes.length - (bytes.length % 4096)) : bytes);
  const [start, before] = [process.cpuUsage(), process.memoryUsage()];
  let outcome: Outcome = 'refused';
  try {
    await use(path, random, () => {
      outcome = 'failed later';
    });
    outcome = 'opened';
  } catch (error) {
    checkError(error, path);
  }
  const { user, system } = process.cpuUsage(start);
  const ms = (user + system) / 1000;
  if (ms > MAX_MS) throw new Error(`it took ${ms.toFixed(0)} ms`);
  const after = process.memoryUsage();
  const grown = Math.max(after.heapUsed - before.heapUsed, after.arrayBuffers - before.arrayBuffers);
  if (grown > MAX_BYTES) throw new Error(`it took ${grown} bytes of memory`);
  return outcome;
}

async function use(path: string, random: Random, onOpen: () => void): Promise<void> {
  const dump = await openDump(path);
  try {
    onOpen();
    const entry = new Uint32Array(2);
    for (const { pa, byteLength } of dump.regions.slice(0, 20)) {
      for (const at of [pa, pa + byteLength - 4096, pa + random.below(byteLength / 4096) * 4096])
        dump.memory.readEntry(at, 8, entry);
      dump.readBytes(pa + 1, Math.min(byteLength, 20_000));
    }
    const mapped = dump.regions.reduce((sum, { byteLength }) => sum + byteLength, 0);
    // To search terabytes takes its time.
    const isSmall = mapped < 2 ** 26;
    if (isSmall) await findRoots(dump);
    const told = { root: BigInt(TABLES_AT), mode: '4-level' as const };
    const space = await findAddressSpace(dump, isSmall ? {} : told).catch((error: unknown) => {
      // What merely looks like a root is not taken unless it is named.
      if (error instanceof PtmonError && error.code === 'source-unavailable') return findAddressSpace(dump, told);
      throw error;
    });
    for (const va of [KERNEL_VA, KERNEL_VA + 0x12_3000n, 0x40_0000n, 0x7fff_ffff_ffffn])
      walk(space.paging, dump.memory, space.root, va);
    let count = 0;
    for await (const range of listRanges(dump, space)) if (range.byteLength > 0 && ++count > 100_000) break;
  } finally {
    await dump.close();
  }
}

function checkError(error: unknown, path: string): void {
  if (!(error instanceof PtmonError)) throw error;
  const { code, message, facts } = error;
  if (code === 'corrupt-input') {
    if (message.includes(path) && facts.offset !== undefined) return;
    // Of tables that make no sense: a guest's, not the file's.
    if (facts.root !== undefined) return;
  }
  // Part of a split dump; no root to be found; paging that is off.
  if (code === 'source-unavailable') return;
  // A raw file of so many bytes needs a map.
  if (code === 'bad-argument' && message.includes('so a map must be given')) return;
  // Or what is left of a dump looks like a raw file without its gaps.
  if (code === 'bad-argument' && /(?:are not|do not seem to be) physical addresses/.test(message)) return;
  throw error;
}
