/** What the processes of a guest have in memory at one moment. */
import { hex, vaOf, vpnOf } from '../../core/address/va.ts';
import { partitionPoint } from '../../core/struct/partition-point.ts';
import type { Moment } from '../../guest/index.ts';
import type { LinuxGuest, MemoryArea, Process } from '../../linux/index.ts';
import { printable } from '../../sinks/printable.ts';
import { joinRights } from '../picture/areas.ts';
import { pageOfFrame, type Run } from '../picture/runs.ts';
import type { Area } from '../picture/scene.ts';
import { readRuns, type Span } from './space-runs.ts';

export interface SampledProcess {
  readonly process: Process;
  /** Physical address of its top-level table. */
  readonly root: number;
  readonly runs: readonly Run[];
}

/** The processes' half of an address space, in pages. */
export function userSpan(linux: LinuxGuest): Span {
  return { from: 0, to: vpnOf(linux.kernel.userEnd - 1n) + 1 };
}

/** Reads the runs of a span of one process. @param root physical address of its top-level table */
export function processRuns(moment: Moment, linux: LinuxGuest, root: number, span = userSpan(linux)): Promise<Run[]> {
  const isSwapped = (value: bigint, level: number) => linux.meaningOf(value, level)?.kind === 'swapped';
  return readRuns((options) => moment.pieces(root, options), span, isSwapped);
}

/** Every process that has memory of its own, by PID; of processes that share one (vfork), the first. @throws as `Moment.linux` */
export async function sampleProcesses(moment: Moment): Promise<readonly SampledProcess[]> {
  const linux = await moment.linux();
  const { processes } = await linux.processes();
  const sampled: SampledProcess[] = [];
  const seen = new Set<number>();
  for (const process of processes) {
    const [root] = process.roots;
    if (root === undefined || seen.has(root)) continue;
    seen.add(root);
    sampled.push({ process, root, runs: await processRuns(moment, linux, root) });
  }
  return sampled;
}

/**
 * The memory areas of a process as blocks of the picture. Undefined where the guest's list is inconsistent, as it may be while the guest
 * changes it.
 */
export async function areasOf(linux: LinuxGuest, mm: bigint): Promise<Area[] | undefined> {
  const { areas, faults, isWhole } = await linux.areasOf(mm);
  return faults.length > 0 || !isWhole || areas.length === 0 ? undefined : joinAreas(areas.map(areaOf));
}

/** The segments of one file are one block. */
function joinAreas(areas: readonly Area[]): Area[] {
  const joined: Area[] = [];
  for (const area of areas) {
    const last = joined.at(-1);
    if (last === undefined || last.name !== area.name || last.vpn + last.pages !== area.vpn) {
      joined.push(area);
      continue;
    }
    joined[joined.length - 1] = { ...last, pages: last.pages + area.pages, ...joinRights(last, area) };
  }
  return joined;
}

function areaOf({ start, end, name, rights }: MemoryArea): Area {
  const { readable, writable, executable, shared } = rights;
  return {
    vpn: vpnOf(start),
    pages: vpnOf(end - 1n) + 1 - vpnOf(start),
    name: name === '' ? 'anonymous' : printable(name),
    rights: `${readable ? 'r' : '-'}${writable ? 'w' : '-'}${executable ? 'x' : '-'}${shared ? 's' : 'p'}`,
  };
}

/** What no other process has, and what stays the same where it runs another program. */
export function processKey({ pid, startTime }: Pick<Process, 'pid' | 'startTime'>): string {
  return `${pid} ${startTime}`;
}

/** `nginx[12]`. */
export function processName({ command, pid }: Pick<Process, 'command' | 'pid'>): string {
  return printable(`${command}[${pid}]`);
}

/** Whether a page of the runs is in none of the areas. @param areas ascending */
export function hasPagesOutside(areas: readonly Area[], runs: readonly Run[]): boolean {
  return runs.some(([vpn, pages]) => {
    let next = partitionPoint(areas.length, (index) => areas[index]!.vpn + areas[index]!.pages <= vpn);
    let at = vpn;
    for (; next < areas.length && areas[next]!.vpn <= at; next++) at = areas[next]!.vpn + areas[next]!.pages;
    return at < vpn + pages;
  });
}

/** `nginx[12] 0x7f…000`: the processes that map a frame, and where. */
export function sharersOf(samples: readonly SampledProcess[], gfn: number): string[] {
  return samples.flatMap(({ process, runs }) =>
    runs
      .map((run) => pageOfFrame(run, gfn))
      .filter((page) => page !== undefined)
      .map((page) => `${processName(process)} ${hex(vaOf(page, 0))}`),
  );
}
