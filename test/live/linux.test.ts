/** `ptmon ps` and `ptmon maps` beside the /proc of real guests: kernels, flavours, machines. */
import { basename, dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findKernels } from '../../src/drivers/qemu/launch/guest-files.ts';
import { type LaunchedGuest, launchGuest, type LaunchOptions } from '../../src/drivers/qemu/launch/launch.ts';
import { QmpClient } from '../../src/drivers/qemu/qmp/index.ts';
import { parse, run } from '../cli/run.ts';
import { temporaryFolder } from '../drivers/qemu/transport/peer.ts';
import { type ProcProcess, readAreas, readProcesses, readProcessesWithMemory, shell } from './proc-files.ts';
import { leftOut } from './real-guest.ts';

/** The kernels that the build script has fetched: the host's own come without modules. */
const KERNELS = findKernels().filter(({ path }) => basename(dirname(dirname(path))) === 'kernels');

const isOut = leftOut('test/live/linux, the processes and the memory of a real guest', () =>
  KERNELS.length === 0 ? 'no fetched kernel: `node guest/build.mjs` fetches one' : undefined,
);

const MACHINES: readonly (readonly [name: string, options: LaunchOptions, expected: object])[] = [
  ['5-level paging', { cpu: 'max' }, { la57: true, pti: false, kaslr: true }],
  ['page-table isolation, two vCPUs', { cpu: 'Skylake-Server', smp: 2 }, { la57: false, pti: true, kaslr: true }],
  ['no KASLR', { cpu: 'max,la57=off', nokaslr: true }, { la57: false, pti: false, kaslr: false }],
];

/** Of 32-bit kernels: what they cannot have is not there. */
const machines32 = (release: string): typeof MACHINES => [
  [
    'page-table isolation with PAE, two vCPUs',
    { cpu: 'Skylake-Server', smp: 2 },
    { la57: false, pti: release.endsWith('-pae'), kaslr: true },
  ],
  ['no KASLR', { nokaslr: true }, { la57: false, pti: false, kaslr: false }],
];

/** Each kernel on one machine after the other, the first two on all of them. Vitest refuses a file without a test: without kernels all are skipped. */
const GUESTS: typeof MACHINES = isOut
  ? MACHINES
  : KERNELS.flatMap(({ path, release, bits, types }, at) =>
      // Debian's 32-bit kernels do not describe their types.
      (bits === 64 ? MACHINES : types === undefined ? [] : machines32(release))
        .filter((_, machine) => at < 2 || bits === 32 || machine === at % MACHINES.length)
        .map(
          ([name, options, expected]) => [`Linux ${release}, ${name}`, { ...options, kernel: path }, expected] as const,
        ),
    );

/** What `translate` says of an address that leads nowhere. */
interface Meaning {
  readonly process: { readonly pid: number };
  readonly area: { readonly rights: string } | null;
  readonly meaning: { readonly kind: string; readonly device?: number; readonly slot?: number };
  readonly swapDevice?: string;
}

/** What a worker of the kernel last worked on, behind its name: it changes with everything that the guest does, printing among it. */
const WORK = /^(kworker\/(?:R-)?[^-+]*)[-+].*$/;

function withoutWork(process: ProcProcess): ProcProcess {
  const plain = (command: string) => command.replace(WORK, '$1');
  const threads = process.threads.map((thread) => ({ ...thread, command: plain(thread.command) }));
  return { ...process, command: plain(process.command), threads };
}

/** Some workers take up other work meanwhile, and a process may just be between two states. */
const ATTEMPTS = 6;

describe.skipIf(isOut).each(GUESTS)('%s', { timeout: 180_000 }, (_name, options, expected) => {
  let guest: LaunchedGuest;
  let exhibit = 0;
  const { bits, types } = KERNELS.find(({ path }) => path === options.kernel) ?? { bits: 64 };
  const [step, beyond] = bits === 64 ? [0x4000_0000n, '0x600000000000'] : [0x100_0000n, '0x70000000'];
  let nextVa = bits === 64 ? 0x2000_0000_0000n : 0x4000_0000n;
  beforeAll(async () => {
    guest = await launchGuest(options);
    await guest.waitForReady();
    await shell(guest, 'echo 2 > /proc/sys/vm/nr_hugepages; echo 0 > /proc/sys/kernel/randomize_va_space');
    const [report] = await guest.workload.command('exhibit show');
    exhibit = Number(report?.kind === 'other' ? report.fields['pid'] : 0);
    await shell(
      guest,
      'mkdir /tmp/gone; cp /bin/busybox /tmp/gone/sleep; /tmp/gone/sleep 100000 > /dev/null 2>&1 & sleep 1; rm /tmp/gone/sleep',
    );
  }, 150_000);
  afterAll(() => guest?.stop());

  const sockets = () => [
    '--qmp',
    guest.qmpPath,
    '--gdb',
    guest.gdbPath,
    ...(types === undefined ? [] : ['--btf', types]),
  ];

  async function ask(command: readonly string[]): Promise<Record<string, unknown>[]> {
    const { code, stdout, stderr } = await run([...command, '--json', ...sockets()]);
    expect(code, stderr).toBe(0);
    expect(stderr.split('\n').filter((line) => line.startsWith('inconsistent'))).toEqual([]);
    return parse(stdout);
  }

  /** Has the guest and ptmon say the same, again where the guest has changed in between. */
  async function expectEqual<T>(theirs: () => Promise<T>, ours: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      const [said, seen] = [await theirs(), await ours()];
      try {
        expect(seen).toEqual(said);
        return said;
      } catch (error) {
        if (attempt === ATTEMPTS) throw error;
      }
    }
  }

  test('is what it should be', () => {
    expect(guest.workload.hello).toMatchObject(expected);
  });

  test('ps: every process as in its own /proc', async () => {
    const ours = async () =>
      (await ask(['ps'])).map(({ pid, parent, command, uid, euid, state, threads }) => ({
        ...{ pid, parent, command, uid, euid, state, threads },
      })) as unknown as ProcProcess[];
    let theirs: ProcProcess[] = [];
    let seen: ProcProcess[] = [];
    const processes = await expectEqual(
      async () => (theirs = await readProcesses(guest)).map(withoutWork),
      async () => (seen = await ours()).map(withoutWork),
    );
    expect(processes.length).toBeGreaterThan(30);
    expect(processes.find(({ pid }) => pid === exhibit)).toMatchObject({ command: 'show', uid: 1234, euid: 1235 });
    // What most workers last did is the same still.
    const work = (list: readonly ProcProcess[]) => list.filter(({ command }) => WORK.test(command));
    const isSame = ({ pid, command }: ProcProcess) => theirs.some((one) => one.pid === pid && one.command === command);
    expect(work(seen).filter(isSame).length).toBeGreaterThan(work(theirs).length / 2);
  });

  test('ps: one root, or two under page-table isolation; kernel threads have none', async () => {
    const processes = await ask(['ps']);
    const roots = new Set(
      processes.map(({ roots: list, isKernelThread }) => `${String(isKernelThread)} ${(list as string[]).length}`),
    );
    const count = guest.workload.hello?.pti === true ? 2 : 1;
    expect(roots).toEqual(new Set(['true 0', `false ${count}`]));
  });

  test('maps: every process as in its own /proc, and as much of it in memory', async () => {
    // All others have none, here and there.
    const withMemory = await expectEqual(
      () => readProcessesWithMemory(guest),
      async () => (await ask(['ps'])).filter(({ mm }) => mm !== null).map(({ pid }) => Number(pid)),
    );
    expect(withMemory.length).toBeGreaterThan(3);
    let areas = 0;
    for (const pid of withMemory) {
      const said = await expectEqual(
        () => readAreas(guest, pid),
        async () =>
          (await ask(['maps', String(pid)])).map((area) => {
            const file = area['file'] as { major: number; minor: number; inode: string } | null;
            const device = file === null ? [0, 0] : [file.major, file.minor];
            return {
              start: area['start'],
              end: area['end'],
              rights: area['rights'],
              fileOffset: area['fileOffset'],
              device: device.map((part) => part.toString(16).padStart(2, '0')).join(':'),
              inode: file?.inode ?? '0',
              name: area['name'],
              resident: Number(area['resident']) * 4,
              swapped: Number(area['swapped']) * 4,
            };
          }) as unknown as Awaited<ReturnType<typeof readAreas>>,
      );
      areas += said.length;
    }
    expect(areas).toBeGreaterThan(40);
  });

  // The kernel may keep pages that it was asked to swap out.
  test('maps: swapped pages are counted', { retry: 2 }, async ({ skip }) => {
    if (guest.workload.hello?.swap !== true) skip('this kernel came without the modules for swap');
    const at = `0x${((nextVa += step)).toString(16)}`;
    for (const command of [`map 8 small at=${at}`, `touch ${at} 8`, `swapout ${at} 6`]) {
      await guest.workload.command(command);
    }
    const pid = guest.workload.hello?.pid ?? 0;
    const area = (await ask(['maps', String(pid)])).find(({ start }) => start === at);
    expect(area).toMatchObject({ pages: 8, swapped: 6, resident: 2 });

    // Each as the guest's own pagemap says it.
    const reports = await guest.workload.command(`look ${at} 8`);
    const theirs = reports.flatMap((report) => (report.kind === 'pages' && report.swap ? [report.swap] : []));
    const addresses = Array.from({ length: 6 }, (_, page) => `0x${(nextVa + BigInt(page) * 4096n).toString(16)}`);
    const [root = ''] = (await ask(['ps'])).find((each) => each['pid'] === pid)!['roots'] as string[];
    const ours = (await ask(['translate', '--root', root, ...addresses])).map(({ system }) => system as Meaning);
    expect(ours.map(({ meaning }) => [meaning.device, meaning.slot])).toEqual(
      theirs.map(({ type, offset }) => [type, offset]),
    );
    for (const { process, swapDevice } of ours) {
      expect({ pid: process.pid, swapDevice }).toEqual({ pid, swapDevice: '/dev/zram0' });
    }
  });

  test('translate: what an entry means that is not present', async () => {
    const at = nextVa + step;
    nextVa = at;
    const va = (page: number) => `0x${(at + BigInt(page) * 4096n).toString(16)}`;
    for (const command of [`map 4 small at=${va(0)}`, `touch ${va(0)} 2`, `mprotect ${va(1)} 1 none`]) {
      await guest.workload.command(command);
    }
    const [report] = await guest.workload.command(`look ${va(1)}`);
    const pid = guest.workload.hello?.pid ?? 0;
    const [root = ''] = (await ask(['ps'])).find((each) => each['pid'] === pid)!['roots'] as string[];
    const answers = await ask(['translate', '--root', root, va(1), va(2), va(8), beyond]);
    const frame = report?.kind === 'pages' ? report.pfn : null;
    expect(answers.map(({ system }) => [(system as Meaning).meaning, (system as Meaning).area?.rights])).toEqual([
      [{ kind: 'inaccessible', pa: `0x${(Number(frame) * 4096).toString(16)}` }, '---p'],
      [{ kind: 'empty' }, 'rw-p'],
      [{ kind: 'empty' }, undefined],
      [{ kind: 'empty' }, undefined],
    ]);
  });

  test('a dump of it holds the same', async ({ skip }) => {
    if (options.kernel !== findKernels()[0]?.path) skip('one kernel is enough');
    const path = join(temporaryFolder(), 'guest.core');
    // QEMU serves one QMP client at a time.
    const command = async (name: string, args = {}) => {
      const qmp = await QmpClient.connect(guest.qmpPath);
      try {
        await qmp.execute(name, args, { timeoutMs: 120_000 });
      } finally {
        await qmp.close();
      }
    };
    await command('stop');
    const [processes, areas] = [await ask(['ps']), await ask(['maps', String(exhibit)])];
    await command('dump-guest-memory', { paging: false, protocol: `file:${path}` });
    await command('cont');
    const read = async (args: readonly string[]) => parse((await run([...args, '--json'])).stdout);
    expect(await read(['ps', path])).toEqual(processes);
    expect(await read(['maps', path, String(exhibit)])).toEqual(areas);
  });
});
