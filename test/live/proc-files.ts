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

const FACT = /^\/proc\/(\d+)\/task\/(\d+)\/(?:comm:(.*)|status:(\w+):\s*(.*))$/;

interface ProcTask {
  readonly pid: number;
  readonly tid: number;
  /** From `status`, by their names; `comm` of the file of that name. */
  readonly facts: Map<string, string>;
}

/** Every process but those that print this. */
export async function readProcesses(guest: LaunchedGuest): Promise<ProcProcess[]> {
  // Two programs in all: one for each thread takes most of a test's time. They are collected: what reads their output would run meanwhile,
  // and sleep otherwise.
  const tasks = await readTasks(
    guest,
    'all=$(echo $$; grep -H "" /proc/[0-9]*/task/*/comm 2> /dev/null; grep -HE "^(State|PPid|Uid):" /proc/[0-9]*/task/*/status 2> /dev/null); echo "$all"',
  );
  const processes = new Map<number, ProcProcess & { threads: { tid: number; command: string; state: string }[] }>();
  for (const { pid, tid, facts } of tasks) {
    const [command, state] = [facts.get('comm'), facts.get('State')?.split(/\s/)[0]];
    // Ended before all of it was read.
    if (command === undefined || state === undefined) continue;
    const [uid, euid] = facts.get('Uid')!.split(/\s+/).map(Number);
    const thread = { tid, command, state };
    const known = processes.get(pid);
    if (known !== undefined) known.threads.push(thread);
    else {
      const parent = Number(facts.get('PPid'));
      processes.set(pid, { pid, parent, command, uid: uid!, euid: euid!, state, threads: [thread] });
    }
  }
  return [...processes.values()].sort((a, b) => a.pid - b.pid);
}

/** @param line prints its own PID first */
async function readTasks(guest: LaunchedGuest, line: string): Promise<ProcTask[]> {
  const [own, ...lines] = await shell(guest, line);
  const tasks = new Map<string, ProcTask>();
  for (const text of lines) {
    const [, pid, tid, comm, name, value] = FACT.exec(text) ?? [];
    // The second line of a name, or one of those that read.
    if (pid === undefined || Number(pid) >= Number(own)) continue;
    const task = tasks.get(`${pid} ${tid}`) ?? { pid: Number(pid), tid: Number(tid), facts: new Map<string, string>() };
    tasks.set(`${pid} ${tid}`, task);
    const fact = name ?? 'comm';
    if (!task.facts.has(fact)) task.facts.set(fact, value ?? comm ?? '');
  }
  return [...tasks.values()];
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
