/** What the guest's workload says, a JSON object a line (guest/README.md). */
import { PtmonError } from '../../../core/error.ts';

/** What an operation did to pages whose frames follow each other, before and after, as the guest's kernel sees it. */
export interface PagesReport {
  readonly kind: 'pages';
  /** The operation: `touch`, `unmap`, `collapse`, … */
  readonly op: string;
  /** The process; absent in the report of a loop. */
  readonly pid?: number;
  /** The thread of a loop. */
  readonly thread?: number;
  /** The first page's address. */
  readonly va: bigint;
  readonly pages: number;
  /** The first page's frame number before and after; null where no frame was or is behind it. */
  readonly before: number | null;
  readonly pfn: number | null;
  /** Where the page has been swapped to. */
  readonly swap?: { readonly type: number; readonly offset: number };
  /** Whether the kernel keeps the frame but lets nobody use it (PROT_NONE): not present for the processor. */
  readonly inaccessible: boolean;
}

/** Anything else that the workload says. */
export interface OtherReport {
  readonly kind: 'other';
  readonly op: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export type WorkloadReport = PagesReport | OtherReport;

/** What a workload says of itself and of its guest when it starts. */
export interface WorkloadHello {
  readonly pid: number;
  /** The kernel's, as `uname -r` says it. */
  readonly release: string;
  readonly cpus: number;
  /** Whether the processor has 5-level paging and the kernel uses it. */
  readonly la57: boolean;
  /** Whether page-table isolation is active: each process then has two roots. */
  readonly pti: boolean;
  readonly kaslr: boolean;
  /** Whether the frame numbers of /proc/self/pagemap can be read. */
  readonly pagemap: boolean;
  /** The kernel's choice of transparent huge pages, the one in force in brackets. */
  readonly hugePages: string;
  readonly swap: boolean;
  readonly shell: boolean;
  /** Where the first mapping goes if a command does not say where. */
  readonly firstVa: bigint;
  /** The address of the beacon's first instruction, and what it holds in r15 while r14 holds the process's id. */
  readonly beacon: bigint;
  readonly beaconMagic: bigint;
  readonly tscHertz: number;
}

function fail(line: string, why: string, cause?: unknown): never {
  throw new PtmonError('corrupt-input', `the guest's workload said ${JSON.stringify(line)}: ${why}`, {}, { cause });
}

function hexadecimal(value: unknown): bigint | undefined {
  return typeof value === 'string' && /^0x[0-9a-f]{1,16}$/.test(value) ? BigInt(value) : undefined;
}

/** A frame number or null; undefined for anything else. */
function frame(value: unknown): number | null | undefined {
  if (value === null) return null;
  const number = hexadecimal(value);
  return number === undefined ? undefined : Number(number);
}

function count(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

/** The workload writes each byte that is not ASCII as the character of that number; what programs print is UTF-8. */
function decoded(fields: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const { text } = fields;
  return typeof text === 'string' ? { ...fields, text: Buffer.from(text, 'latin1').toString('utf8') } : fields;
}

/** @throws PtmonError `corrupt-input` for a line that is not a report */
export function parseReport(line: string): WorkloadReport {
  let fields: unknown;
  try {
    fields = JSON.parse(line);
  } catch (cause) {
    fail(line, 'not JSON', cause);
  }
  if (typeof fields !== 'object' || fields === null) fail(line, 'not an object');
  const {
    op,
    va,
    pages = 1,
    before,
    pfn,
    pid,
    thread,
    swapType,
    swapOffset,
    inaccessible,
  } = fields as Record<string, unknown>;
  if (typeof op !== 'string') fail(line, 'without an operation');
  if (va === undefined) return { kind: 'other', op, fields: decoded(fields as Record<string, unknown>) };

  const [first, length, was, is] = [hexadecimal(va), count(pages), frame(before), frame(pfn)];
  if (first === undefined || length === undefined || was === undefined || is === undefined) {
    fail(line, 'pages without address, number or frames');
  }
  const [process, worker, type, offset] = [count(pid), count(thread), count(swapType), hexadecimal(swapOffset)];
  return {
    kind: 'pages',
    op,
    ...(process === undefined ? {} : { pid: process }),
    ...(worker === undefined ? {} : { thread: worker }),
    va: first,
    pages: length,
    before: was,
    pfn: is,
    ...(type === undefined || offset === undefined ? {} : { swap: { type, offset: Number(offset) } }),
    inaccessible: inaccessible === true,
  };
}

/** @throws PtmonError `corrupt-input` where something is missing, as in the words of another version's workload */
export function parseHello(fields: Readonly<Record<string, unknown>>): WorkloadHello {
  const line = JSON.stringify(fields);
  const number = (key: string): number => count(fields[key]) ?? fail(line, `no number "${key}"`);
  const address = (key: string): bigint => hexadecimal(fields[key]) ?? fail(line, `no address "${key}"`);
  const flag = (key: string): boolean => {
    const value = fields[key];
    return typeof value === 'boolean' ? value : fail(line, `no flag "${key}"`);
  };
  const words = (key: string): string => {
    const value = fields[key];
    return typeof value === 'string' ? value : fail(line, `no text "${key}"`);
  };
  return {
    pid: number('pid'),
    release: words('release'),
    cpus: number('cpus'),
    la57: flag('la57'),
    pti: flag('pti'),
    kaslr: flag('kaslr'),
    pagemap: flag('pagemap'),
    hugePages: words('hugePages'),
    swap: flag('swap'),
    shell: flag('shell'),
    firstVa: address('firstVa'),
    beacon: address('beacon'),
    beaconMagic: address('beaconMagic'),
    tscHertz: number('tscHertz'),
  };
}

/** One page of a report each: its address and its frames before and after. */
export function pagesOf(
  report: PagesReport,
): readonly { readonly va: bigint; readonly before: number | null; readonly pfn: number | null }[] {
  const after = (frame: number | null, distance: number): number | null => (frame === null ? null : frame + distance);
  return Array.from({ length: report.pages }, (_, index) => ({
    va: report.va + BigInt(index) * 4096n,
    before: after(report.before, index),
    pfn: after(report.pfn, index),
  }));
}
