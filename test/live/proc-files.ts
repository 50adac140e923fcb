/** What a guest says of itself in /proc, as its shell prints it. */
import type { LaunchedGuest } from '../../src/drivers/qemu/launch/launch.ts';

export interface ProcProcess {
  readonly pid: number;
  readonly parent: number;
  readonly command: string;
  readonly uid: number;
  readonly euid: number;
  readonly state: string;
  readonly threads: readonly { readonly tid: number; readonly command: string; readonly state: string }[];
}

export interface ProcArea {
  readonly start: string;
  readonly end: string;
  readonly rights: string;
  readonly fileOffset: string;
  readonly device: string;
  readonly inode: string;
  readonly name: string;
  /** KiB. */
  readonly resident: number;
  readonly swapped: number;
}

/** Runs a command line in the guest's shell: its lines, in the bytes that they have. */
export async function shell({ workload }: LaunchedGuest, line: string): Promise<string[]> {
  const reports = await workload.command(`sh ${line}`, { timeoutMs: 120_000 });
  return reports.map((report) => (report.kind === 'other' ? String(report.fields['text']) : ''));
}

/** Every process but those that print this. */
export async function readProcesses(guest: LaunchedGuest): Promise<ProcProcess[]> {
  const lines = await shell(
    guest,
    'echo $$; for t in /proc/[0-9]*/task/*; do echo "@$t"; cat $t/comm; grep -E "^(State|PPid|Uid|Tgid):" $t/status; done 2> /dev/null',
  );
  const own = Number(lines.shift());
  const processes = new Map<number, ProcProcess & { threads: { tid: number; command: string; state: string }[] }>();
  const field = (block: readonly string[], name: string) =>
    block
      .find((line) => line.startsWith(`${name}:`))
      ?.split(/\s+/)
      .slice(1) ?? [];
  for (const block of lines.join('\n').split(/^@/m).slice(1)) {
    const [path = '', command = '', ...status] = block.split('\n');
    const [, pid = 0, tid = 0] = /(\d+)\/task\/(\d+)$/.exec(path)?.map(Number) ?? [];
    const state = field(status, 'State')[0];
    // Ended before it was read, or one of those that read.
    if (state === undefined || pid >= own) continue;
    const parent = Number(field(status, 'PPid')[0]);
    const [uid, euid] = field(status, 'Uid').map(Number);
    const known = processes.get(pid);
    if (known !== undefined) known.threads.push({ tid, command, state });
    else {
      processes.set(pid, { pid, parent, command, uid: uid!, euid: euid!, state, threads: [{ tid, command, state }] });
    }
  }
  return [...processes.values()].sort((a, b) => a.pid - b.pid);
}

/** Those that have any, without those that print this. */
export async function readProcessesWithMemory(guest: LaunchedGuest): Promise<number[]> {
  const [own = '', ...paths] = await shell(guest, 'echo $$; grep -l . /proc/[0-9]*/maps 2> /dev/null; true');
  const pids = paths.map((path) => Number(path.split('/')[2]));
  return pids.filter((pid) => pid < Number(own)).sort((a, b) => a - b);
}

const LINE = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) ([0-9a-f]+) ([0-9a-f]+:[0-9a-f]+) (\d+) *(.*)$/;

/** The areas of a process, from its smaps. */
export async function readAreas(guest: LaunchedGuest, pid: number): Promise<ProcArea[]> {
  const lines = await shell(guest, `grep -E "^[0-9a-f]+-|^Rss:|^Swap:" /proc/${pid}/smaps || true`);
  const areas: (ProcArea & { resident: number; swapped: number })[] = [];
  for (const line of lines) {
    const [, start = '', end = '', rights = '', offset = '', device = '', inode = '', name = ''] =
      LINE.exec(line) ?? [];
    const last = areas.at(-1);
    const kib = Number(/(\d+) kB$/.exec(line)?.[1]);
    if (line.startsWith('Rss:')) last!.resident = kib;
    else if (line.startsWith('Swap:')) last!.swapped = kib;
    else {
      const plain = (digits: string) => `0x${BigInt(`0x${digits}`).toString(16)}`;
      areas.push({
        start: plain(start),
        end: plain(end),
        rights,
        fileOffset: plain(offset),
        device,
        inode,
        // The kernel writes a line feed within a name as four characters.
        name: name.replaceAll('\\012', '\n'),
        resident: NaN,
        swapped: NaN,
      });
    }
  }
  return areas;
}
