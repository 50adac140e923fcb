/** Chooses the best way into the memory of a QEMU guest: a shared RAM file, QEMU's own memory, the gdbstub. */
import { PtmonError } from '../../../core/error.ts';
import type { PhysicalMemory } from '../../../core/memory/physical-memory.ts';
import type { RemoteFetch } from '../../../driver/driver.ts';
import { PositionedMemory, type PositionedMemoryOptions, type RamRegion } from '../../ramfile/index.ts';
import type { GdbClient } from '../gdb/index.ts';
import type { QmpClient } from '../qmp/index.ts';
import { readHostAddresses } from './host-addresses.ts';
import { parseMemoryTree, type RamPiece } from './memory-tree.ts';
import { openProcessMemory } from './process-memory.ts';
import { listRamBackends, type RamBackend } from './ram-backends.ts';
import { openRamFiles } from './ram-file.ts';
import { holdsGuest } from './same-content.ts';
import { StubMemory } from './stub-memory.ts';

/** `file`: a shared RAM file; `process`: QEMU's own memory on this host; `gdb`: physical reads of the gdbstub. */
export type GuestMemoryKind = 'file' | 'process' | 'gdb';

export interface GuestMemoryOptions {
  readonly qmp: QmpClient;
  /** Without it there is no `gdb`; its socket also tells which process is QEMU's. */
  readonly gdb?: GdbClient;
  /** Path of the RAM file on this host, where it is not the one that QEMU names. Implies `file`. */
  readonly ramFile?: string;
  /** Defaults to `auto`: the first of `file`, `process`, `gdb` that works. */
  readonly kind?: GuestMemoryKind | 'auto';
  /** The guest writes while it is read (sampling): entries are read until they hold still. Defaults to false. */
  readonly guestRuns?: boolean;
  /** Pages held at most between two calls of `clear`; defaults to 4096. */
  readonly maxPages?: number;
}

/** The physical memory of a guest, until `close`. Which addresses are RAM is what QEMU said when it was opened. */
export interface GuestMemory {
  readonly kind: GuestMemoryKind;
  readonly memory: PhysicalMemory;
  /** Only with `gdb`, and only while the guest is stopped. */
  readonly remote?: RemoteFetch;
  /** One line for people: which way, path or process, size, and why not a better one. */
  readonly description: string;
  /** In ascending order; positions are offsets in the file, host addresses, or (`gdb`) the physical addresses. */
  readonly regions: readonly RamRegion[];
  /** Why some of the guest's RAM cannot be read; absent where all can. */
  readonly unreadable?: string | undefined;
  /** Bytes as they are now, past the cache; undefined where any of them is not RAM. @throws PtmonError */
  readBytes(pa: number, byteLength: number): Promise<Uint8Array | undefined>;
  /** Whether it still is what was opened: the file, the process. Costs next to nothing. @throws PtmonError `source-unavailable` */
  check(): void;
  /** The guest has run on: everything is read anew. */
  clear(): void;
  /** One frame is read anew; absent where the guest must be stopped to be read. */
  forget?(gfn: number): void;
  /** Frees what is held; not the clients. May be called again. */
  close(): Promise<void>;
}

/** What one way needs to know. */
interface Attempt extends GuestMemoryOptions {
  readonly pieces: readonly RamPiece[];
  readonly backends: readonly RamBackend[];
}

/** The best first. */
const WAYS: readonly (readonly [kind: GuestMemoryKind, open: (attempt: Attempt) => Promise<OpenedWay>])[] = [
  ['file', openFiles],
  ['process', openProcess],
  ['gdb', openStub],
];

type OpenedWay = Omit<GuestMemory, 'kind'>;

/**
 * Opens the memory of a guest: the first way that works, or the one that is forced.
 *
 * @throws PtmonError `source-unavailable` where no way works, or the one that was forced does not, with the reason of each;
 *   `bad-argument` for options that contradict each other; `corrupt-input` where QEMU prints no map of its memory
 */
export async function openGuestMemory(options: GuestMemoryOptions): Promise<GuestMemory> {
  const { qmp, ramFile, kind: wanted = 'auto' } = options;
  if (ramFile !== undefined && wanted !== 'auto' && wanted !== 'file') {
    throw new PtmonError(
      'bad-argument',
      `the RAM file ${ramFile} and reading memory by "${wanted}" exclude each other`,
    );
  }
  const forced = ramFile !== undefined ? 'file' : wanted;
  const [tree, backends] = await Promise.all([qmp.humanMonitor('info mtree -f'), listRamBackends(qmp)]);
  const attempt = { ...options, pieces: parseMemoryTree(tree), backends };
  const reasons: string[] = [];
  for (const [kind, open] of WAYS.filter(([kind]) => forced === 'auto' || forced === kind)) {
    try {
      const way = await open(attempt);
      const description = [way.description, ...reasons].join('; ');
      return { ...way, kind, description };
    } catch (error) {
      if (!(error instanceof PtmonError) || error.code !== 'source-unavailable') throw error;
      reasons.push(`not ${NAMES[kind]}: ${error.message}`);
    }
  }
  throw new PtmonError('source-unavailable', `the guest's memory cannot be read; ${reasons.join('; ')}`);
}

const NAMES: Readonly<Record<GuestMemoryKind, string>> = {
  file: 'a RAM file',
  process: "QEMU's own memory",
  gdb: 'the gdbstub',
};

async function openFiles({ qmp, pieces, backends, ramFile, ...options }: Attempt): Promise<OpenedWay> {
  const parts = openRamFiles(pieces, backends, ramFile);
  const memory = new PositionedMemory(parts, cacheOptions(options));
  const paths = parts.map(({ source }) => source.name).join(', ');
  try {
    if (!(await holdsGuest(qmp, memory))) {
      throw new PtmonError(
        'source-unavailable',
        `${paths} differs from the guest's memory: it belongs to another guest, or was replaced`,
      );
    }
  } catch (error) {
    memory.close();
    throw error;
  }
  return positioned(memory, `RAM file ${paths}, ${sizeOf(pieces, backends)}`);
}

async function openProcess({ qmp, gdb, pieces, backends, ...options }: Attempt): Promise<OpenedWay> {
  const regions = await readHostAddresses(qmp, pieces);
  const part = await openProcessMemory([qmp.address, ...(gdb === undefined ? [] : [gdb.address])], regions);
  const memory = new PositionedMemory([part], cacheOptions(options));
  return positioned(memory, `QEMU's own memory, process ${part.source.pid}, ${sizeOf(pieces, backends)}`);
}

async function openStub({ gdb, pieces, backends, guestRuns, maxPages }: Attempt): Promise<OpenedWay> {
  if (gdb === undefined) throw new PtmonError('source-unavailable', 'there is no connection to it');
  if (guestRuns === true) {
    throw new PtmonError('source-unavailable', 'it reads memory only while the guest is stopped');
  }
  const regions = pieces.map(({ pa, byteLength }) => ({ pa, byteLength, position: pa }));
  const stub = new StubMemory(gdb, regions, maxPages);
  return {
    memory: stub.memory,
    remote: stub,
    description: `the gdbstub at ${gdb.address}, ${sizeOf(pieces, backends)}, the slowest way`,
    regions: stub.regions,
    readBytes: (pa, byteLength) => stub.readBytes(pa, byteLength),
    check: () => {},
    clear: () => stub.clear(),
    close: async () => stub.close(),
  };
}

function positioned(memory: PositionedMemory, description: string): OpenedWay {
  return {
    memory,
    description,
    regions: memory.regions,
    readBytes: async (pa, byteLength) => memory.readBytes(pa, byteLength),
    check: () => memory.check(),
    clear: () => memory.clear(),
    forget: (gfn) => memory.forget(gfn),
    close: async () => memory.close(),
  };
}

function cacheOptions({
  guestRuns,
  maxPages,
}: Pick<GuestMemoryOptions, 'guestRuns' | 'maxPages'>): PositionedMemoryOptions {
  return { ...(guestRuns !== undefined && { guestRuns }), ...(maxPages !== undefined && { maxPages }) };
}

/** In words: RAM as the guest was given it, where QEMU says; otherwise what can be read. */
function sizeOf(pieces: readonly RamPiece[], backends: readonly RamBackend[]): string {
  const blocks = backends.filter(({ id }) => pieces.some(({ block }) => block === id));
  const bytes = (blocks.length > 0 ? blocks : pieces).reduce((sum, { byteLength }) => sum + byteLength, 0);
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}
