/** 32-bit kernels, with PAE and without, beside QEMU's own translation: every page, and what the kernel knows without its types. */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findKernels } from '../../src/drivers/qemu/launch/guest-files.ts';
import { type LaunchedGuest, launchGuest } from '../../src/drivers/qemu/launch/launch.ts';
import { QmpClient } from '../../src/drivers/qemu/qmp/index.ts';
import { openQemuSnapshot } from '../../src/drivers/qemu/index.ts';
import { Btf, openLinux } from '../../src/linux/index.ts';
import { Random } from '../../src/testing/random.ts';
import { parse, run } from '../cli/run.ts';
import { limeDump } from '../drivers/dump/write-dump.ts';
import { temporaryFolder } from '../drivers/qemu/transport/peer.ts';
import { readAreas, readProcesses, shell } from './proc-files.ts';
import { leftOut } from './real-guest.ts';

const KERNELS = findKernels().filter(({ path, bits }) => basename(dirname(dirname(path))) === 'kernels' && bits === 32);

const isOut = leftOut('test/live/linux-32, the page tables of 32-bit kernels', () =>
  KERNELS.length === 0 ? 'no 32-bit kernel: `node guest/build.mjs --kernel linux-image-686` fetches one' : undefined,
);

const PAGE_BYTES = 4096;
/** Addresses that QEMU translates, one by one. */
const SAMPLES = 300;

const MIB = 2 ** 20;
/** What the kernel has no RAM in. */
const HOLE = { from: 96 * MIB, byteLength: 48 * MIB };

const hex = (value: number) => `0x${value.toString(16)}`;

/** @param kib that one of its pages, or of its numbers, has */
const areaFacts = (list: readonly object[], kib: number) =>
  (list as readonly Record<string, unknown>[]).map(({ start, end, rights, fileOffset, name, resident, swapped }) => ({
    ...{ start, end, rights, fileOffset, name },
    ...{ resident: Number(resident) * kib, swapped: Number(swapped) * kib },
  }));

const GUESTS = KERNELS.map(({ release, path }) => [release, path] as const);

describe.skipIf(isOut).each(isOut ? [['none', ''] as const] : GUESTS)(
  'Linux %s',
  { timeout: 180_000 },
  (release, kernel) => {
    let guest: LaunchedGuest;
    const mode = release.endsWith('-pae') ? 'pae' : '32-bit';
    beforeAll(async () => {
      guest = await launchGuest({ kernel, append: `memmap=${HOLE.byteLength / MIB}M$${HOLE.from / MIB}M` });
      await guest.waitForReady();
      await guest.workload.command('map 4096 at=0x50000000');
      await guest.workload.command('touch 0x50000000 4096');
    }, 150_000);
    afterAll(() => guest?.stop());

    async function monitor<T>(ask: (qmp: QmpClient) => Promise<T>): Promise<T> {
      const qmp = await QmpClient.connect(guest.qmpPath, { timeoutMs: 60_000 });
      try {
        return await ask(qmp);
      } finally {
        await qmp.close();
      }
    }

    const ask = (...command: readonly string[]) => read(...command, '--qmp', guest.qmpPath, '--gdb', guest.gdbPath);

    async function read(...command: readonly string[]): Promise<Record<string, unknown>[]> {
      const { code, stdout, stderr } = await run([...command, '--json']);
      expect(code, stderr).toBe(0);
      return parse(stdout);
    }

    /** By QEMU, as `translate` says it. */
    const translateAll = (addresses: readonly number[]) =>
      monitor(async (qmp) => {
        const answers: string[] = [];
        for (const va of addresses) answers.push((await qmp.humanMonitor(`gva2gpa ${hex(va)}`)).trim());
        return answers;
      });

    const asQemu = (answers: readonly Record<string, unknown>[]) =>
      answers.map(({ translates, pa }) => (translates === true ? `gpa: ${String(pa)}` : 'Unmapped'));

    /** Some anywhere, most of them mapped. */
    function sampleAddresses(lines: readonly Record<string, unknown>[]): number[] {
      const random = new Random(5);
      const ranges = lines.filter(({ kind }) => kind === 'range');
      return Array.from({ length: SAMPLES }, (_, at) => {
        if (at % 5 === 0) return random.below(2 ** 32);
        const range = ranges[random.below(ranges.length)]!;
        return Number(range['va']) + random.below(Number(range['pages']) * PAGE_BYTES);
      });
    }

    test("map is QEMU's info tlb, page by page", async () => {
      await monitor((qmp) => qmp.execute('stop'));
      const tlb = await monitor((qmp) => qmp.humanMonitor('info tlb'));
      const lines = await ask('map', '--runs');
      await monitor((qmp) => qmp.execute('cont'));
      expect(lines[0]).toMatchObject({ mode });
      const ours = new Map<number, number>();
      for (const line of lines.filter(({ kind }) => kind === 'range')) {
        const [va, pa] = [Number(line['va']), Number(line['pa'])];
        const step = line['repeats'] === true ? 0 : PAGE_BYTES;
        for (let page = 0; page < Number(line['pages']); page++) ours.set(va + page * PAGE_BYTES, pa + page * step);
      }
      const theirs = new Map<number, number>();
      for (const line of tlb.trim().split(/\r?\n/)) {
        const [, va = '', pa = '', flags = ''] = /^([0-9a-f]+): ([0-9a-f]+) (\S+)/.exec(line)!;
        // QEMU leaves XD in the address of PAE's entries.
        const frame = Number(BigInt(`0x${pa}`) & ~(1n << 63n));
        // The P of the flags is the page-size bit.
        const pages = flags.includes('P') ? (mode === 'pae' ? 512 : 1024) : 1;
        for (let page = 0; page < pages; page++) {
          theirs.set(parseInt(va, 16) + page * PAGE_BYTES, frame + page * PAGE_BYTES);
        }
      }
      expect(theirs.size).toBeGreaterThan(50_000);
      const different = [...theirs].filter(([va, pa]) => ours.get(va) !== pa);
      expect([ours.size, different.slice(0, 5)]).toEqual([theirs.size, []]);
    });

    test('every symbol as in /proc/kallsyms, with types from a file', async ({ skip }) => {
      const types = KERNELS.find(({ path }) => path === kernel)?.types;
      if (types === undefined) skip('no types: `node guest/build.mjs --types` makes them');
      const [sum = ''] = await shell(
        guest,
        'echo 0 > /proc/sys/kernel/kptr_restrict; grep -v "\\[" /proc/kallsyms | sha256sum',
      );
      const snapshot = await openQemuSnapshot({
        qmp: guest.qmpPath,
        gdb: guest.gdbPath,
        signal: new AbortController().signal,
      });
      try {
        const linux = await openLinux(snapshot, { types: new Btf(readFileSync(types!)) });
        const { symbols } = await linux.names();
        const hash = createHash('sha256');
        for (let index = 0; index < symbols!.size; index++) {
          const { address, type, name } = symbols!.symbol(index);
          hash.update(`${address.toString(16).padStart(8, '0')} ${type} ${name}\n`);
        }
        expect(hash.digest('hex')).toBe(sum.split(' ')[0]);
      } finally {
        await snapshot.close();
      }
    });

    test('translate is gva2gpa, where it leads and where it does not', async () => {
      await monitor((qmp) => qmp.execute('stop'));
      const addresses = sampleAddresses(await ask('map'));
      const ours = asQemu(await ask('translate', ...addresses.map(hex)));
      const theirs = await translateAll(addresses);
      await monitor((qmp) => qmp.execute('cont'));
      expect(ours).toEqual(theirs);
      expect(new Set(theirs.map((answer) => answer.startsWith('gpa')))).toEqual(new Set([true, false]));
    });

    test('types of another kernel are refused before anything is printed', async ({ skip }) => {
      const others = KERNELS.filter(({ path, types }) => path !== kernel && types !== undefined);
      if (others.length === 0) skip('one 32-bit kernel with types: `node guest/build.mjs --types` makes them');
      const live = ['--qmp', guest.qmpPath, '--gdb', guest.gdbPath];
      for (const command of [['ps'], ['maps', '1']]) {
        for (const { types } of others) {
          const { code, stdout, stderr } = await run([...command, ...live, '--btf', types!]);
          expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
          expect(stderr).toContain("the types given for it (--btf) are another kernel's: their struct pgprot has");
        }
      }
      const own = KERNELS.find((each) => each.path === kernel)?.types;
      if (own !== undefined) {
        // As types of the same version with another configuration: of the same sizes, with other functions.
        const renamed = join(temporaryFolder(), 'types.btf');
        writeFileSync(renamed, readFileSync(own, 'latin1').replaceAll('sys_', 'syz_'), 'latin1');
        const { code: outcome, stderr: said } = await run(['map', ...live, '--btf', renamed]);
        expect([outcome, said]).toEqual([
          3,
          expect.stringMatching(/another kernel's: of their \d+ functions this kernel has no/),
        ]);
      }
      const path = join(temporaryFolder(), 'System.map');
      writeFileSync(path, '00000000c1000000 T _text\n');
      const { code, stderr } = await run(['map', ...live, '--symbols', path]);
      expect(code).toBe(3);
      expect(stderr).toContain('it needs --btf FILE, with --symbols or without');
    });

    test('raw memory from whose middle a hole was dropped has no roots, and no map', async () => {
      await monitor((qmp) => qmp.execute('stop'));
      const ram = readFileSync(guest.ramFile);
      await monitor((qmp) => qmp.execute('cont'));
      const without = (from: number, byteLength: number) => {
        const path = join(temporaryFolder(), 'raw');
        writeFileSync(path, Buffer.concat([ram.subarray(0, from), ram.subarray(from + byteLength)]));
        return run(['roots', path]);
      };
      const known = await without(HOLE.from, HOLE.byteLength);
      const unknown = await without(HOLE.from + MIB, 3 * MIB);
      expect(known).toMatchObject({ code: 2, stdout: '' });
      // As many bytes of something else may be missing: no list tells where, unless it is as long as the file.
      expect(known.stderr).toContain('0x3000000 bytes of addresses are missing somewhere between');
      expect(unknown).toMatchObject({ code: 2, stdout: '' });
      expect(unknown.stderr).toContain('0x300000 bytes of addresses are missing somewhere between');
    });

    test('dumps of it map, translate, and list processes and areas as it does', async ({ skip }) => {
      const types = KERNELS.find(({ path }) => path === kernel)?.types;
      if (types === undefined) skip('no types: `node guest/build.mjs` makes them with --types');
      const btf = ['--btf', types!];
      const folder = temporaryFolder();
      const path = (name: string) => join(folder, name);
      // The first process waits for the workload, and nothing of it changes.
      const [processes, areas] = [await readProcesses(guest), await readAreas(guest, 1)];
      await monitor((qmp) => qmp.execute('stop'));
      const [header, ...ranges] = await ask('map', '--runs');
      expect(ranges.length).toBeGreaterThan(20);
      const addresses = sampleAddresses(ranges);
      const theirs = await translateAll(addresses);
      await monitor(async (qmp) => {
        const dump = (name: string, options = {}) =>
          qmp.execute('dump-guest-memory', { paging: false, protocol: `file:${path(name)}`, ...options });
        await dump('elf', { paging: true });
        await dump('kdump', { format: 'kdump-zlib' });
        await qmp.execute('migrate', { uri: `exec:cat >${path('stream')}` });
        const status = async () => ((await qmp.execute('query-migrate')) as { status?: string }).status;
        while (!['completed', 'failed'].includes((await status()) ?? '')) await sleep(20);
      });
      const ram = readFileSync(guest.ramFile);
      const frames = Array.from({ length: ram.length / PAGE_BYTES }, (_, gfn) => gfn);
      writeFileSync(
        path('lime'),
        limeDump(new Map(frames.map((gfn) => [gfn, ram.subarray(gfn * PAGE_BYTES, (gfn + 1) * PAGE_BYTES)]))),
      );
      const root = String(header!['root']);
      const seen = await read('ps', path('kdump'), ...btf);
      // Threads of the kernel come and go, PID 2 and its children.
      const facts = (list: readonly object[]) =>
        (list as readonly Record<string, unknown>[])
          .filter(({ pid, parent }) => pid !== 2 && parent !== 2)
          .map(({ pid, parent, command, uid, euid }) => ({ pid, parent, command, uid, euid }));
      expect(facts(seen)).toEqual(facts(processes));
      expect(facts(seen)).toHaveLength(2);
      for (const name of ['elf', 'kdump', 'stream', 'lime']) {
        const file = path(name);
        const space = name === 'lime' ? ['--root', root, '--paging', mode] : [];
        expect((await read('map', file, '--runs', ...space)).slice(1), name).toEqual(ranges);
        expect(asQemu(await read('translate', file, ...addresses.map(hex), ...space)), name).toEqual(theirs);
        const list = await read('maps', file, '1', ...btf, ...space);
        expect(areaFacts(list, 4), name).toEqual(areaFacts(areas, 1));
      }
    });
  },
);
