/**
 * Every meaning of an entry that is not present, at every page size, beside what the guest's own kernel says of the page: its
 * /proc/PID/pagemap, or where that says nothing, what it said before.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { PageEvent } from '../../src/core/monitor/events.ts';
import { findKernels } from '../../src/drivers/qemu/launch/guest-files.ts';
import { type EntryFormat, type EntryMeaning, meaningOf, openLinux } from '../../src/linux/index.ts';
import { openQemuSnapshot } from '../../src/drivers/qemu/index.ts';
import { parse, run } from '../cli/run.ts';
import { temporaryFolder } from '../drivers/qemu/transport/peer.ts';
import { shell } from './proc-files.ts';
import { leftOut } from './real-guest.ts';
import { WatchedGuest } from './watched-guest.ts';

const hex = (value: bigint) => `0x${value.toString(16)}`;

const PAGES_2M = 512;
const PAGES_1G = 262_144;

/** A machine with two nodes: only old ones let memory be one file and belong to two. */
const MACHINE = {
  cpu: 'max,la57=off',
  memoryMiB: 3072,
  append: 'hugepagesz=1G hugepages=1 hugepagesz=2M hugepages=4',
  extraArguments: ['-machine', 'pc-i440fx-5.0', '-numa', 'node,mem=2560M,cpus=0', '-numa', 'node,mem=512M'],
} as const;

/** One of each release: 6.1 and 6.12 number their entries differently, and only a kernel that is not the cloud's 6.1 knows poison. */
const KERNELS = findKernels()
  .filter(
    ({ path, release }) =>
      basename(dirname(dirname(path))) === 'kernels' && /^(6\.1\.\d+-\d+-amd64|.*cloud-amd64)$/.test(release),
  )
  .map(({ release, path }) => [release, path] as const);

const isOut = leftOut('test/live/linux-entries, what entries mean that are not present', () =>
  KERNELS.length === 0 ? 'no fetched kernel: `node guest/build.mjs` fetches one' : undefined,
);

// Vitest refuses a file without a test: without kernels one is skipped.
describe.skipIf(isOut).each(KERNELS.length === 0 ? [['…', ''] as const] : KERNELS)(
  'Linux %s',
  { timeout: 180_000 },
  (_release, kernel) => {
    let watched: WatchedGuest;
    let next = 0x2000_0000_0000n;
    beforeAll(async () => {
      watched = await WatchedGuest.boot({ ...MACHINE, kernel });
    }, 150_000);
    afterAll(() => watched?.stop());

    /** New pages, by a `map` with these words; the first of them. */
    async function map(pages: number, words: string): Promise<bigint> {
      next += 0x1_0000_0000n;
      await watched.guest.workload.command(`map ${pages} ${words} at=0x${next.toString(16)}`);
      return next;
    }

    const command = (name: string, va: bigint, rest: string | number = '') =>
      watched.guest.workload.command(`${name} 0x${va.toString(16)} ${rest}`, { timeoutMs: 120_000 });

    /** What the kernel says of a page. */
    async function look(va: bigint) {
      const [report] = await command('look', va);
      if (report?.kind !== 'pages') throw new Error('no report of a page');
      return report;
    }

    /** What ptmon says of an entry, and of how many pages it is. */
    async function meaning(va: bigint): Promise<Record<string, unknown>> {
      const { guest, root } = watched;
      const sockets = ['--qmp', guest.qmpPath, '--gdb', guest.gdbPath];
      const { code, stdout } = await run([
        ...['translate', '--root', `0x${root.toString(16)}`, `0x${va.toString(16)}`, '--json', ...sockets],
      ]);
      expect(code).toBe(0);
      const [answer] = parse(stdout);
      return (answer!['system'] as { meaning: Record<string, unknown> }).meaning;
    }

    /** As pagemap says it: the frame of the page at `va`, which is within a page of so many small ones. */
    const frameIn = ({ pa }: Record<string, unknown>, va: bigint, pages: number) =>
      Number(BigInt(pa as string) / 4096n) + (Number(va / 4096n) % pages);

    test.each([
      ['4 KiB', 8, 'small', 1],
      ['2 MiB', PAGES_2M, 'huge', PAGES_2M],
      ['2 MiB of hugetlb', PAGES_2M, 'hugetlb', PAGES_2M],
      ['1 GiB of hugetlb', PAGES_1G, 'gigantic', PAGES_1G],
    ])('PROT_NONE, %s', async (_what, pages, words, pageSize) => {
      const start = await map(pages, words);
      await command('touch', start, 8);
      await command('mprotect', start, `${pages} none`);
      for (const va of [start, start + 5n * 4096n]) {
        const [said, { pfn }] = [await meaning(va), await look(va)];
        expect(pfn).not.toBeNull();
        expect({ kind: said['kind'], frame: frameIn(said, va, pageSize) }).toEqual({
          kind: 'inaccessible',
          frame: pfn,
        });
      }
      if (pageSize === PAGES_1G) await command('unmap', start, pages);
    });

    test.each([
      ['4 KiB', 4, 'small'],
      ['2 MiB of hugetlb', PAGES_2M, 'hugetlb'],
    ])('poison, %s', async (_what, pages, words) => {
      if (!(await knows('poisoned'))) return;
      const start = await map(pages, words);
      await command('touch', start);
      const { pfn } = await look(start);
      await command('poison', start);
      const after = await look(start);
      if (after.swap !== undefined) expect(after.swap.offset).toBe(pfn);
      expect(await meaning(start)).toEqual({ kind: 'poisoned', pa: `0x${(Number(pfn) * 4096).toString(16)}` });
    });

    test('a marker', async () => {
      const start = await map(4, 'small shared');
      await command('mark', start, 4);
      const { swap } = await look(start);
      expect((await format()).types.get(swap!.type)).toBe('marker');
      expect(await meaning(start)).toEqual({ kind: 'marker', marks: ['userfaultfd write protection'] });
    });

    test('a page that userfaultfd has poisoned (since 6.6)', async ({ skip }) => {
      const program = join(temporaryFolder(), 'poison-pages');
      const source = join(import.meta.dirname, 'poison-pages.c');
      execFileSync('gcc', ['-Os', '-nostdlib', '-static', '-s', '-o', program, source]);
      const text = gzipSync(readFileSync(program)).toString('base64');
      const path = '/tmp/poison-pages';
      const [pid = ''] = await shell(
        watched.guest,
        `echo ${text} | base64 -d | gunzip > ${path}; chmod 755 ${path}; ${path} > /dev/null 2>&1 & echo $!; sleep 1`,
      );
      const [isThere] = await shell(watched.guest, `grep -q . /proc/${pid}/maps && echo yes || echo no`);
      if (isThere !== 'yes') skip('this kernel has no UFFDIO_POISON');
      // A page that was never touched, one that is poisoned, and what /proc/PID/pagemap calls its type.
      const va = 0x6000_0000_1000n;
      const [words = ''] = await shell(
        watched.guest,
        `dd if=/proc/${pid}/pagemap bs=8 count=1 skip=${va / 4096n} 2> /dev/null | hexdump -v -e '1/4 "%08x "'`,
      );
      expect((await format()).types.get(parseInt(words, 16) & 31)).toBe('marker');
      const sockets = ['--qmp', watched.guest.qmpPath, '--gdb', watched.guest.gdbPath];
      const { code, stdout, stderr } = await run([
        ...['translate', '--pid', pid, hex(va), hex(va - 4096n), '--json'],
        ...sockets,
      ]);
      expect(code, stderr).toBe(0);
      expect(parse(stdout).map(({ system }) => (system as { meaning: unknown }).meaning)).toEqual([
        { kind: 'marker', marks: ['poisoned'] },
        { kind: 'empty' },
      ]);
      await shell(watched.guest, `kill ${pid}`);
    });

    test('hints of NUMA balancing, small and large', async () => {
      await shell(
        watched.guest,
        'mount -t debugfs none /sys/kernel/debug; cd /sys/kernel/debug/sched/numa_balancing && echo 10 > scan_delay_ms && echo 100 > scan_period_min_ms; echo 1 > /proc/sys/kernel/numa_balancing',
      );
      const small = await map(8, 'small');
      const large = await map(PAGES_2M, 'huge');
      await command('touch', small, 8);
      await command('touch', large, 1);
      // Those of the node that the process runs on are left alone.
      await command('migrate', small, '8 node=1');
      await command('migrate', large, '1 node=1');
      const found = new Set<bigint>();
      for (let attempt = 0; attempt < 10 && found.size < 2; attempt++) {
        await watched.guest.workload.command('spin compute 500', { timeoutMs: 120_000 });
        for (const [va, pages] of [
          [small, 1],
          [large, PAGES_2M],
        ] as const) {
          const at = va + 3n * 4096n;
          const said = await meaningIfAny(at);
          if (said === undefined) continue;
          expect(said['kind']).toBe('inaccessible');
          expect(frameIn(said, at, pages)).toBe((await look(at)).pfn);
          found.add(va);
        }
      }
      await shell(watched.guest, 'echo 0 > /proc/sys/kernel/numa_balancing');
      expect(found).toEqual(new Set([small, large]));
    });

    async function meaningIfAny(va: bigint) {
      return meaning(va).catch(() => undefined);
    }

    test.each([
      ['migrating, 4 KiB', 8, 'small', 'migrating', (va: bigint) => `migrate 0x${va.toString(16)} 1 node=1`],
      ['migrating, 2 MiB', PAGES_2M, 'huge', 'migrating', (va: bigint) => `migrate 0x${va.toString(16)} 1 node=1`],
      ['changing, 2 MiB', PAGES_2M, 'huge', 'changing', (va: bigint) => `split 0x${va.toString(16)}`],
    ] as const)('%s: as its entry is written', async (_what, pages, words, kind, act) => {
      const start = await map(pages, words);
      await command('touch', start, 1);
      const said = await format();
      const { events } = await watched.watch({ ranges: [{ va: start, pages: 1 }], commands: [act(start)] });
      const meanings = meaningsIn(said, events as readonly PageEvent[]);
      expect(meanings.length).toBeGreaterThan(0);
      expect(meanings.every(({ pa, meaning: found }) => 'pa' in found && found.pa === pa)).toBe(true);
      expect(meanings.map(({ meaning: found }) => found.kind)).toContain(kind);
    });

    async function format(): Promise<EntryFormat> {
      const { qmpPath, gdbPath } = watched.guest;
      const snapshot = await openQemuSnapshot({ qmp: qmpPath, gdb: gdbPath, signal: new AbortController().signal });
      try {
        return (await openLinux(snapshot)).entryFormat;
      } finally {
        await snapshot.close();
      }
    }

    async function knows(kind: string): Promise<boolean> {
      return [...(await format()).types.values()].includes(kind as 'poisoned');
    }
  },
);

/**
 * What entries mean that are not present: the one that takes a page away, and the one that the page comes back over, which Linux
 * writes after an empty one. With where the page is or was.
 */
function meaningsIn(
  format: EntryFormat,
  events: readonly PageEvent[],
): { readonly pa: number; readonly meaning: EntryMeaning }[] {
  let last = 0;
  return events.flatMap(({ kind, pa, cause }) => {
    const value = kind === 'page-out' ? cause?.newValue : cause?.oldValue;
    const where = kind === 'page-out' ? pa : last;
    last = pa;
    const meaning = value === undefined || value === 0n ? undefined : meaningOf(format, value, cause!.level);
    return meaning === undefined ? [] : [{ pa: where, meaning }];
  });
}
