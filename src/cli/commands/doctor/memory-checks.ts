/** Checks every way to read the guest's memory. */
import { PAGE_BYTES } from '../../../core/address/pa.ts';
import { PtmonError } from '../../../core/error.ts';
import type { GdbClient, GuestMemoryKind, QmpClient } from '../../../drivers/qemu/index.ts';
import { type GuestMemory, openGuestMemory } from '../../../drivers/qemu/memory/index.ts';
import { openFollowedMemory } from '../../../drivers/qemu/memory/followed-memory.ts';
import { listRamBackends } from '../../../drivers/qemu/memory/ram-backends.ts';
import { WrittenTables } from '../../../drivers/qemu/proof/index.ts';
import { formatByteLength, RamFile } from '../../../drivers/ramfile/index.ts';
import { type Check, type CheckName, failedBy, skipped } from './checks.ts';
import { ramFileFlags } from './flags.ts';

export interface MemoryFindings {
  readonly checks: readonly Check[];
  /** The first way that works, open. */
  readonly best?: GuestMemory;
}

export interface MemoryPlaces {
  readonly qmp?: QmpClient;
  readonly gdb?: GdbClient;
  readonly ramFile?: string;
}

const WAYS: readonly (readonly [CheckName, GuestMemoryKind])[] = [
  ['file', 'file'],
  ['process', 'process'],
  ['stub', 'gdb'],
];

export async function checkMemory({ qmp, gdb, ramFile }: MemoryPlaces): Promise<MemoryFindings> {
  if (qmp === undefined) {
    const why = 'only QMP reports where the guest has its memory';
    const unknown = {
      ...skipped('file', why),
      remedy: `${ramFileFlags(undefined)} (for --mode sample, and for speed)`,
    };
    const file = ramFile === undefined ? unknown : checkFileAlone(ramFile);
    return { checks: [file, skipped('process', why), skipped('stub', why)] };
  }
  const checks: Check[] = [];
  let best: GuestMemory | undefined;
  for (const [name, kind] of WAYS) {
    try {
      const unavailable = await whyNotToTry(kind, {
        qmp,
        ...(gdb && { gdb }),
        ...(ramFile !== undefined && { ramFile }),
      });
      if (unavailable !== undefined) {
        checks.push(unavailable);
        continue;
      }
      const file = kind === 'file' && ramFile !== undefined ? { ramFile } : {};
      const way = await openGuestMemory({ qmp, kind, ...(gdb && { gdb }), ...file });
      const check = await tryWay(name, way);
      checks.push(check);
      if (best === undefined && check.outcome === 'ok') best = way;
      else await way.close();
    } catch (error) {
      checks.push(failedBy(name, error));
    }
  }
  return { checks, ...(best && { best }) };
}

async function whyNotToTry(kind: GuestMemoryKind, { qmp, gdb, ramFile }: MemoryPlaces): Promise<Check | undefined> {
  if (kind === 'gdb' && gdb === undefined) return skipped('stub', 'no connection to the gdbstub');
  if (kind !== 'file' || ramFile !== undefined || qmp === undefined) return undefined;
  const backends = await listRamBackends(qmp);
  if (backends.some(({ type }) => type === 'memory-backend-file')) return undefined;
  const remedy = ramFileFlags(await ramByteLength(qmp));
  return { name: 'file', outcome: 'missing', detail: "no file backs the guest's memory", remedy };
}

/** Opens it, and reads from it. */
async function tryWay(name: CheckName, way: GuestMemory): Promise<Check> {
  try {
    const [first] = way.regions;
    const bytes = first && (await way.readBytes(first.pa, PAGE_BYTES));
    if (bytes !== undefined) return { name, outcome: 'ok', detail: way.description };
    return {
      name,
      outcome: 'failed',
      detail: `${way.description}: nothing is there at the addresses that QEMU reports as RAM`,
    };
  } catch (error) {
    return failedBy(name, error);
  }
}

/** A file of any hypervisor. */
function checkFileAlone(path: string): Check {
  try {
    const file = new RamFile(path);
    file.close();
    const detail = `${path}, ${formatByteLength(file.byteLength)}; without QMP, ptmon cannot verify whose RAM it is`;
    return { name: 'file', outcome: 'ok', detail };
  } catch (error) {
    return failedBy('file', error);
  }
}

/** Whether the kernel notes writes to the guest's memory. Only a few pages are tracked, for a moment. */
export async function checkProof(qmp: QmpClient | undefined): Promise<Check> {
  if (qmp === undefined) return skipped('proof', 'needs QMP, and sampling');
  let memory: GuestMemory | undefined;
  try {
    const followed = await openFollowedMemory({ qmp, guestRuns: true });
    memory = followed;
    await (await WrittenTables.open(qmp, followed)).close();
    const detail = "this host's kernel notes writes: ptmon knows between which samples no event was lost";
    return { name: 'proof', outcome: 'ok', detail };
  } catch (error) {
    if (!(error instanceof PtmonError) || error.code !== 'source-unavailable') throw error;
    return { name: 'proof', outcome: 'missing', detail: error.message };
  } finally {
    await memory?.close();
  }
}

/** Undefined if QEMU does not report it. */
async function ramByteLength(qmp: QmpClient): Promise<number | undefined> {
  const summary = await qmp.execute('query-memory-size-summary').catch(() => undefined);
  const size = (summary as { readonly 'base-memory'?: unknown } | undefined)?.['base-memory'];
  return typeof size === 'number' && size > 0 ? size : undefined;
}
