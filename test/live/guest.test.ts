import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type PhysicalMemory, READ_NO_MEMORY, READ_OK } from '../../src/core/memory/physical-memory.ts';
import { makePaging } from '../../src/core/paging/format.ts';
import { pagingFromRegisters } from '../../src/core/paging/registers.ts';
import { walk } from '../../src/core/paging/walk.ts';
import { type LaunchedGuest, type LaunchOptions, launchGuest } from '../../src/drivers/qemu/launch/launch.ts';
import { type PagesReport, pagesOf, type WorkloadReport } from '../../src/drivers/qemu/launch/workload-report.ts';
import { QmpClient } from '../../src/drivers/qemu/qmp/client.ts';
import { leftOut } from './real-guest.ts';

const PAGE = 4096n;
/** Each test has a place of its own. */
let nextVa = 0x200000000000n;

function place(): bigint {
  nextVa += 0x40000000n;
  return nextVa;
}

const hex = (value: bigint | number): string => `0x${value.toString(16)}`;

interface Machine {
  readonly guest: LaunchedGuest;
  readonly qmp: QmpClient;
  /** Reads guest-physical memory; the guest has less than 3 GiB, so file and physical offsets are the same. */
  readAt(pa: number, byteLength: number): Buffer;
  close(): Promise<void>;
}

async function boot(options: LaunchOptions): Promise<Machine> {
  const guest = await launchGuest(options);
  try {
    await guest.waitForReady();
    const qmp = await QmpClient.connect(guest.qmpPath);
    const ram = openSync(guest.ramFile, 'r');
    return {
      guest,
      qmp,
      readAt: (pa, byteLength) => {
        const bytes = Buffer.alloc(byteLength);
        expect(readSync(ram, bytes, 0, byteLength, pa)).toBe(byteLength);
        return bytes;
      },
      close: async () => {
        closeSync(ram);
        await qmp.close();
        await guest.stop();
      },
    };
  } catch (error) {
    await guest.stop();
    throw error;
  }
}

/** What a frame holds: the address that its page was written at, and the process that wrote. */
function stampIn({ readAt }: Machine, pfn: number | null): readonly [va: bigint, pid: number] {
  const bytes = readAt((pfn ?? -1) * 4096, 16);
  return [bytes.readBigUInt64LE(0), Number(bytes.readBigUInt64LE(8))];
}

function pagesReports(reports: readonly WorkloadReport[]): readonly PagesReport[] {
  return reports.filter((report) => report.kind === 'pages');
}

/** The pages of all reports of a command, one by one. */
async function pagesAfter({ guest }: Machine, command: string): Promise<ReturnType<typeof pagesOf>> {
  return pagesReports(await guest.workload.command(command)).flatMap(pagesOf);
}

/** A fact in a report that is not of pages. */
function fieldOf(report: WorkloadReport | undefined, name: string): unknown {
  return report?.kind === 'other' ? report.fields[name] : undefined;
}

async function hugeBytesAfter({ guest }: Machine, command: string): Promise<unknown> {
  return fieldOf((await guest.workload.command(command)).at(-1), 'hugeBytes');
}

/** Registers of a vCPU as QEMU's monitor prints them. */
async function registers({ qmp }: Machine, vcpu: number): Promise<(name: string) => bigint> {
  const text = await qmp.humanMonitor('info registers', { vcpu });
  return (name) => BigInt(`0x${new RegExp(`\\b${name} *=([0-9a-f]+)`).exec(text)?.[1] ?? 'missing'}`);
}

/** The workload's root, seen while it is at its beacon. */
async function rootOfWorkload(machine: Machine): Promise<(name: string) => bigint> {
  const { guest } = machine;
  const hello = await guest.workload.ready();
  const beacon = guest.workload.command('beacon 1500');
  try {
    for (const end = performance.now() + 20_000; performance.now() < end; ) {
      for (let vcpu = 0; vcpu < hello.cpus; vcpu += 1) {
        const read = await registers(machine, vcpu);
        if (read('R15') === hello.beaconMagic && read('R14') === BigInt(hello.pid)) return read;
      }
    }
    throw new Error('no vCPU was seen at the beacon');
  } finally {
    await beacon;
  }
}

/** Where the guest's own tables lead from a root, read from its memory. */
function translate(machine: Machine, read: (name: string) => bigint, va: bigint): number | null {
  const memory: PhysicalMemory = {
    readEntry: (pa, byteLength, out) => {
      if (pa + byteLength > machine.guest.memoryMiB * 2 ** 20) return READ_NO_MEMORY;
      const bytes = machine.readAt(pa, byteLength);
      out[0] = bytes.readUInt32LE(0);
      out[1] = byteLength === 8 ? bytes.readUInt32LE(4) : 0;
      return READ_OK;
    },
  };
  const paging = pagingFromRegisters({ cr0: read('CR0'), cr4: read('CR4'), efer: read('EFER') });
  if (paging === undefined) throw new Error('paging is off');
  const found = walk(makePaging(paging), memory, read('CR3'), va);
  return found.translates ? Number(found.pa) / 4096 : null;
}

/** For each page, what was reported last is what is found first the next time: nothing happens in between. */
function brokenChains(reports: readonly WorkloadReport[]): readonly string[] {
  const last = new Map<bigint, number | null>();
  const broken: string[] = [];
  for (const { va, before, pfn } of pagesReports(reports)) {
    const known = last.get(va);
    if (known !== undefined && known !== before) broken.push(`${hex(va)}: ${known}, then ${before}`);
    last.set(va, pfn);
  }
  return broken;
}

const BOOT_MS = 150_000;

describe.skipIf(leftOut('tests of a real guest'))('P3 a real guest with 5-level paging says what it does', () => {
  let machine: Machine;

  beforeAll(async () => {
    machine = await boot({ cpu: 'max' });
  }, BOOT_MS);
  afterAll(() => machine?.close());

  test('what it is', () => {
    expect(machine.guest.workload.hello).toMatchObject({
      release: machine.guest.kernel.release,
      cpus: 1,
      la57: true,
      pti: false,
      kaslr: true,
      pagemap: true,
      hugePages: expect.stringContaining('[always]'),
      swap: machine.guest.kernel.modules.length > 0,
      tscHertz: expect.any(Number),
    });
  });

  test('a frame that it names holds what it wrote', async () => {
    const va = place();
    await machine.guest.workload.command(`map 16 small at=${hex(va)}`);
    const pages = await pagesAfter(machine, `touch ${hex(va)} 16`);
    expect(pages).toHaveLength(16);
    for (const [index, page] of pages.entries()) {
      expect(page).toMatchObject({ va: va + BigInt(index) * PAGE, before: null });
      expect(stampIn(machine, page.pfn)).toEqual([page.va, machine.guest.workload.hello?.pid]);
    }
    expect(new Set(pages.map((page) => page.pfn)).size).toBe(16);
  });

  test('reading gives the page of zeroes, writing one of its own', async () => {
    const va = place();
    await machine.guest.workload.command(`map 2 small at=${hex(va)}`);
    const [first, second] = await pagesAfter(machine, `read ${hex(va)} 2`);
    expect(first?.pfn).toBe(second?.pfn);
    expect(machine.readAt((first?.pfn ?? -1) * 4096, 4096).every((byte) => byte === 0)).toBe(true);
    const [written] = await pagesAfter(machine, `touch ${hex(va)}`);
    expect(written?.before).toBe(first?.pfn);
    expect(stampIn(machine, written?.pfn ?? null)[0]).toBe(va);
  });

  test.each(['dontneed', 'unmap'])('%s takes the frame away', async (command) => {
    const va = place();
    await machine.guest.workload.command(`map 2 small at=${hex(va)}`);
    const touched = await pagesAfter(machine, `touch ${hex(va)} 2`);
    const gone = await pagesAfter(machine, `${command} ${hex(va)} 2`);
    expect(gone).toEqual(touched.map((page) => ({ va: page.va, before: page.pfn, pfn: null })));
    const refused = { message: expect.stringContaining('not all mapped') };
    if (command === 'unmap')
      await expect(machine.guest.workload.command(`touch ${hex(va)}`)).rejects.toMatchObject(refused);
    else expect((await pagesAfter(machine, `touch ${hex(va)}`))[0]).toMatchObject({ before: null });
  });

  test('a page without rights keeps its frame, out of reach', async () => {
    const va = place();
    await machine.guest.workload.command(`map 1 small at=${hex(va)}`);
    const [touched] = await pagesAfter(machine, `touch ${hex(va)}`);
    const frames = { before: touched?.pfn, pfn: touched?.pfn };
    for (const [rights, inaccessible] of [
      ['none', true],
      ['r', false],
      ['none', true],
      ['rw', false],
    ] as const) {
      const reports = await machine.guest.workload.command(`mprotect ${hex(va)} ${rights}`);
      expect(reports).toMatchObject([{ op: 'mprotect', ...frames, inaccessible }]);
    }
  });

  test('a child shares its frames until one of the two writes', async () => {
    const va = place();
    const { guest } = machine;
    const parent = guest.workload.hello?.pid;
    await guest.workload.command(`map 1 small at=${hex(va)}`);
    const [touched] = await pagesAfter(machine, `touch ${hex(va)}`);
    const forked = await guest.workload.command(`fork ${hex(va)}`);
    const child = fieldOf(forked[0], 'child');
    expect(pagesReports(forked)).toMatchObject([
      { pid: parent, pfn: touched?.pfn },
      { pid: child, pfn: touched?.pfn },
    ]);

    const [own, shared] = pagesReports(await guest.workload.command(`cow ${hex(va)}`));
    expect(own).toMatchObject({ pid: parent, before: touched?.pfn });
    expect(own?.pfn).not.toBe(touched?.pfn);
    expect(shared).toMatchObject({ pid: child, pfn: touched?.pfn });

    // Nobody shares it with the child any more, so its write needs no copy.
    const [childs] = pagesReports(await guest.workload.command(`child touch ${hex(va)}`));
    expect(childs).toMatchObject({ pid: child, before: touched?.pfn, pfn: touched?.pfn });
    expect(stampIn(machine, own?.pfn ?? null)).toEqual([va, parent]);
    expect(stampIn(machine, childs?.pfn ?? null)).toEqual([va, child]);
    expect(await guest.workload.command('child exit')).toMatchObject([{ op: 'exit' }]);
  });

  test('small pages become a huge one, are split again, and move as they are', async () => {
    const va = place();
    const target = place();
    await machine.guest.workload.command(`map 512 small at=${hex(va)}`);
    await machine.guest.workload.command(`touch ${hex(va)} 512`);
    expect(await hugeBytesAfter(machine, `collapse ${hex(va)}`)).toBe(0x200000);
    const together = await pagesAfter(machine, `look ${hex(va)} 512`);
    const first = together[0]?.pfn ?? -1;
    expect(first % 512).toBe(0);
    expect(together.map((page) => page.pfn)).toEqual(Array.from({ length: 512 }, (_, index) => first + index));
    expect(stampIn(machine, first + 300)[0]).toBe(va + 300n * PAGE);

    expect(await hugeBytesAfter(machine, `split ${hex(va + 5n * PAGE)}`)).toBe(0);
    expect(await pagesAfter(machine, `look ${hex(va)} 512`)).toMatchObject(together.map(({ pfn }) => ({ pfn })));
    const moved = await machine.guest.workload.command(`mremap ${hex(va)} 512 to=${hex(target)}`);
    expect(moved).toMatchObject([
      { va, pages: 512, before: first, pfn: null },
      { va: target, pages: 512, before: null, pfn: first },
    ]);
  });

  test('a first touch of memory without a wish gives a huge page', async () => {
    const va = place();
    await machine.guest.workload.command(`map 512 at=${hex(va)}`);
    await machine.guest.workload.command(`touch ${hex(va + 7n * PAGE)}`);
    const reports = await machine.guest.workload.command(`look ${hex(va)} 512`);
    expect(reports).toMatchObject([{ pages: 512, pfn: expect.any(Number) }]);
  });

  test('a page that was swapped out comes back with what was in it', async ({ skip }) => {
    if (machine.guest.workload.hello?.swap !== true) skip('this kernel came without the modules for swap');
    const va = place();
    await machine.guest.workload.command(`map 2 small at=${hex(va)}`);
    await machine.guest.workload.command(`touch ${hex(va)} 2`);
    const out = await machine.guest.workload.command(`swapout ${hex(va)} 2`);
    expect(out).toMatchObject([0, 1].map(() => ({ pfn: null, swap: { type: 0, offset: expect.any(Number) } })));
    const back = await pagesAfter(machine, `read ${hex(va)} 2`);
    for (const page of back) expect(stampIn(machine, page.pfn)[0]).toBe(page.va);
  });

  test('addresses beyond 47 bits are mapped where 5-level paging has them', async () => {
    const va = 1n << 54n;
    await machine.guest.workload.command(`map 1 small at=${hex(va)}`);
    const [page] = await pagesAfter(machine, `touch ${hex(va)}`);
    expect(stampIn(machine, page?.pfn ?? null)[0]).toBe(va);
  });

  test.each([
    ['fault', 300],
    ['remap', 200],
    ['protect', 200],
    ['move', 200],
    ['cow', 30],
    ['mix', 400],
  ])('a loop of %s reports all its changes', async (kind, rounds) => {
    const reports = await machine.guest.workload.command(`loop ${kind} ${rounds} pages=4 seed=7`);
    const changes = fieldOf(reports.at(-1), 'changes') as number;
    expect(pagesReports(reports)).toHaveLength(changes);
    expect(changes).toBeGreaterThanOrEqual(rounds);
    expect(brokenChains(reports)).toEqual([]);
  });

  test('at its beacon its root is seen, and its tables lead to the frames that it names', async () => {
    const va = place();
    await machine.guest.workload.command(`map 8 small at=${hex(va)}`);
    const pages = await pagesAfter(machine, `touch ${hex(va)} 7`);
    const read = await rootOfWorkload(machine);
    for (const page of pages) expect(translate(machine, read, page.va)).toBe(page.pfn);
    expect(translate(machine, read, va + 7n * PAGE)).toBeNull();
  });

  test('a storm of processes names each one', async () => {
    const reports = await machine.guest.workload.command('storm 50 parallel=4');
    expect(new Set(reports.map((report) => fieldOf(report, 'pid'))).size).toBe(50);
  });

  test('its shell says what /proc says', async ({ skip }) => {
    if (machine.guest.workload.hello?.shell !== true) skip('this guest came without busybox');
    const reports = await machine.guest.workload.command('sh cat /proc/version; echo "\\"é\\"" >&2');
    const lines = reports.map((report) => fieldOf(report, 'text'));
    expect(lines[0]).toContain(machine.guest.kernel.release);
    expect(lines[1]).toBe('"é"');
    await expect(machine.guest.workload.command('sh exit 7')).rejects.toMatchObject({
      message: expect.stringContaining('exit status 7'),
    });
  });

  test.each(['compute 5', 'memory 20', 'fault 2'])('spin %s is timed by the guest', async (work) => {
    const [report] = await machine.guest.workload.command(`spin ${work}`);
    const [nanoseconds, tsc] = ['nanoseconds', 'tsc'].map((name) => fieldOf(report, name)) as [number, number];
    const hertz = machine.guest.workload.hello?.tscHertz ?? 0;
    expect(nanoseconds).toBeGreaterThan(0);
    // Its two clocks agree, roughly: both are the emulator's.
    expect(tsc / hertz / (nanoseconds / 1e9)).toBeGreaterThan(0.2);
    expect(tsc / hertz / (nanoseconds / 1e9)).toBeLessThan(5);
  });

  test('a workload that exits is followed by another with a new address space', async () => {
    const before = machine.guest.workload.hello?.pid;
    await machine.guest.workload.command('exit');
    const hello = await machine.guest.workload.ready();
    expect(hello.pid).not.toBe(before);
    const reports = await machine.guest.workload.command(`look ${hex(0x200040000000n)} 16`);
    expect(reports).toMatchObject([{ pages: 16, pfn: null }]);
  });

  test("a kernel that panics ends QEMU, and the console's last words are in the error", async () => {
    await machine.guest.workload.command('panic');
    expect(await machine.guest.ended).toBe('exit code 0');
    await expect(machine.guest.workload.command('look 0x0')).rejects.toMatchObject({
      code: 'source-unavailable',
      message: expect.stringContaining('Kernel panic'),
    });
    await machine.guest.stop();
    expect(existsSync(machine.guest.ramFile)).toBe(false);
  });
});

describe.skipIf(leftOut('tests of a real guest with two vCPUs'))('P3 a real guest with page-table isolation', () => {
  let machine: Machine;

  beforeAll(async () => {
    machine = await boot({ cpu: 'Skylake-Server', smp: 2 });
  }, BOOT_MS);
  afterAll(() => machine?.close());

  test('what it is', () => {
    expect(machine.guest.workload.hello).toMatchObject({ cpus: 2, la57: false, pti: true });
  });

  test('threads on both vCPUs change pages of their own', async () => {
    const reports = await machine.guest.workload.command('loop mix 300 pages=4 threads=2');
    const threads = new Set(pagesReports(reports).map((report) => report.thread));
    expect([...threads]).toEqual([0, 1]);
    expect(brokenChains(reports)).toEqual([]);
  });

  // Each kind: children of one thread must not wait for those of another, nor a thread for another's mappings.
  test.for(['fault', 'remap', 'protect', 'move', 'cow', 'swap'])(
    'threads that all do %s come to an end',
    async (kind) => {
      const reports = await machine.guest.workload.command(`loop ${kind} 40 pages=4 threads=2`);
      expect(new Set(pagesReports(reports).map((report) => report.thread))).toEqual(new Set([0, 1]));
    },
  );

  test('at its beacon it runs on the root for user mode, which leads to the same frames', async () => {
    const va = place();
    await machine.guest.workload.command(`map 2 small at=${hex(va)}`);
    const [page] = await pagesAfter(machine, `touch ${hex(va)}`);
    const read = await rootOfWorkload(machine);
    // arch/x86/include/asm/pgtable.h, PTI_PGTABLE_SWITCH_BIT: the user's root is the second page of the two.
    expect(read('CR3') & 0x1000n).toBe(0x1000n);
    expect(translate(machine, read, va)).toBe(page?.pfn);
    const kernels = (name: string): bigint => (name === 'CR3' ? read('CR3') & ~0x1fffn : read(name));
    expect(translate(machine, kernels, va)).toBe(page?.pfn);
  });
});
