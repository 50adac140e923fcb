/** The first block of a trace: what was recorded, as a JSON object. */
import { PtmonError } from '../../../core/error.ts';
import { makePaging, type Paging, type PagingOptions } from '../../../core/paging/format.ts';
import type { PagingModeName } from '../../../core/paging/modes.ts';
import { corrupt } from './corrupt.ts';

/** How the source noticed writes: before they were in memory, at single entries, or not at all. */
export type CaptureMode = 'protection' | 'traps' | 'samples';

export interface TraceAbout {
  /** The name of the driver that was recorded. */
  readonly source: string;
  readonly capture: CaptureMode;
  readonly paging: PagingOptions;
  /** Kinds of events that the session emitted besides page-in and page-out. */
  readonly kinds: readonly string[];
  /** Undefined where the source had no registers. */
  readonly vcpuCount: number | undefined;
  /** By the host's clock, in ISO 8601. */
  readonly startedAt: string;
  /** A line for people: what this is a trace of. */
  readonly title: string;
  /** What the recorded session's output says of itself in its header line. */
  readonly options: Readonly<Record<string, string | number | boolean>>;
}

const CAPTURE_MODES: readonly string[] = ['protection', 'traps', 'samples'];
const MAX_VCPUS = 4096;

export function encodeAbout(about: TraceAbout): Buffer {
  const { encryptionMask = 0n, ...paging } = about.paging;
  return Buffer.from(
    JSON.stringify({ ...about, paging: { ...paging, encryptionMask: `0x${encryptionMask.toString(16)}` } }),
  );
}

/** @throws PtmonError `corrupt-input` */
export function decodeAbout(bytes: Buffer): TraceAbout {
  const { source, capture, paging, kinds, vcpuCount, startedAt, title, options = {} } = objectOf(parse(bytes));
  if (typeof source !== 'string') throw corrupt('the trace does not say what its source was');
  if (typeof capture !== 'string' || !CAPTURE_MODES.includes(capture)) {
    throw corrupt(`unknown kind of capture: ${JSON.stringify(capture)}`);
  }
  if (!Array.isArray(kinds) || !kinds.every((kind) => typeof kind === 'string')) {
    throw corrupt('the trace does not say which kinds of events were wanted');
  }
  if (
    vcpuCount !== undefined &&
    !(Number.isInteger(vcpuCount) && Number(vcpuCount) >= 1 && Number(vcpuCount) <= MAX_VCPUS)
  ) {
    throw corrupt(`the trace has ${JSON.stringify(vcpuCount)} vCPUs`);
  }
  return {
    source,
    capture: capture as CaptureMode,
    paging: pagingOf(objectOf(paging)),
    kinds,
    vcpuCount: vcpuCount as number | undefined,
    startedAt: typeof startedAt === 'string' ? startedAt : '',
    title: typeof title === 'string' ? title : '',
    options: Object.fromEntries(
      Object.entries(objectOf(options)).filter((entry): entry is [string, string | number | boolean] =>
        ['string', 'number', 'boolean'].includes(typeof entry[1]),
      ),
    ),
  };
}

/** What `makePaging` was given, as far as it matters. */
export function pagingOptionsOf(paging: Paging): PagingOptions {
  const { mode, physicalAddressBits, encryptionMask, levels, vendor, gigabytePages } = paging;
  return {
    mode: mode.name,
    physicalAddressBits,
    encryptionMask,
    noExecuteEnable: levels.some(({ noExecuteMask }) => noExecuteMask !== 0),
    pageSizeExtensions: mode.entryBytes === 8 || levels.some(({ leafBit, level }) => level > 1 && leafBit !== 0),
    ...(vendor !== 'intel' && { vendor }),
    ...(!gigabytePages && { gigabytePages }),
  };
}

function pagingOf(said: Readonly<Record<string, unknown>>): PagingOptions {
  const { encryptionMask = '0x0' } = said;
  if (typeof encryptionMask !== 'string' || !/^0x[0-9a-f]{1,16}$/.test(encryptionMask)) {
    throw corrupt(`${JSON.stringify(encryptionMask)} is not an encryption mask`);
  }
  const options: PagingOptions = {
    // Whatever it is: makePaging looks.
    mode: said['mode'] as PagingModeName,
    physicalAddressBits: (said['physicalAddressBits'] ?? 52) as number,
    encryptionMask: BigInt(encryptionMask),
    noExecuteEnable: said['noExecuteEnable'] !== false,
    pageSizeExtensions: said['pageSizeExtensions'] !== false,
    ...(said['vendor'] !== undefined && { vendor: said['vendor'] as 'intel' | 'amd' }),
    ...(said['gigabytePages'] === false && { gigabytePages: false }),
  };
  try {
    makePaging(options);
  } catch (error) {
    throw error instanceof PtmonError ? corrupt(`invalid paging: ${error.message}`) : error;
  }
  return options;
}

function parse(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    throw corrupt('the first block is not JSON');
  }
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw corrupt(`an object is expected where ${JSON.stringify(value)?.slice(0, 40)} is`);
}
