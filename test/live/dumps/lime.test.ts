/**
 * LiME itself: Debian's source of the module, compiled for the guest's kernel, saves the memory of the guest that it runs in, in each of its
 * formats, to a disk. What is read of the files is what QEMU has at these addresses.
 */
import { copyFileSync, existsSync, mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { mappedRanges } from '../../../src/core/paging/enumerate.ts';
import { makePaging } from '../../../src/core/paging/format.ts';
import { openDump } from '../../../src/drivers/dump/index.ts';
import { findKernels } from '../../../src/drivers/qemu/launch/guest-files.ts';
import type { QmpClient } from '../../../src/drivers/qemu/qmp/index.ts';
import { parse } from '../../cli/run.ts';
import { DumpedGuest, runWith } from './dumped-guest.ts';
import { shell } from '../proc-files.ts';
import { leftOut } from '../real-guest.ts';

const moduleOf = (kernel: string): string => join(dirname(kernel), 'lime.ko');
/** Of Debian's cloud flavour, which has the disk's driver built in. */
const KERNEL = findKernels().find(({ path, release }) => release.includes('cloud') && existsSync(moduleOf(path)));

const isOut = leftOut('test/live/dumps/lime, memory that LiME saves', () =>
  KERNEL !== undefined ? undefined : 'no module: `node guest/build.mjs --lime` compiles it',
);

const PAGE = 4096;
const MEMORY_MIB = 128;
const VA = 0x70_0000_0000;
const FORMATS = ['lime', 'raw', 'padded'] as const;
/** Without KASLR, vmalloc's area (kernel documentation, arch/x86/x86_64/mm.rst): stacks and tables come and go in it. */
const isLasting = (va: bigint): boolean => va < 0xffff_c900_0000_0000n || va >= 0xffff_ffff_8000_0000n;

interface Saved {
  readonly path: string;
  /** What QEMU has in memory, at the moment at which the file was complete. */
  readonly memory: string;
}

describe.skipIf(isOut)('P3 files of LiME', { timeout: 240_000 }, () => {
  const folder = isOut ? '' : mkdtempSync(join(tmpdir(), 'ptmon-lime-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const path = (name: string) => join(folder, name);
  const saved = new Map<string, Saved>();
  /** First and last address of each range of RAM in /proc/iomem. */
  let ram: (readonly [first: number, last: number])[];
  let root: number;
  /** `gva2gpa` of addresses of the workload and of the kernel. */
  const theirs = new Map<string, Map<string, string>>();

  beforeAll(async () => {
    const kernel = KERNEL!.path;
    copyFileSync(moduleOf(kernel), path('module'));
    const moduleBytes = statSync(path('module')).size;
    // A disk is whole sectors.
    truncateSync(path('module'), Math.ceil(moduleBytes / 512) * 512);
    const disks = ['module', ...FORMATS].flatMap((name) => {
      if (name !== 'module') {
        writeFileSync(path(name), '');
        truncateSync(path(name), (MEMORY_MIB + 1) * 2 ** 20);
      }
      const drive = `if=none,id=${name},format=raw,file=${path(name)}`;
      return ['-drive', drive, '-device', `nvme,drive=${name},serial=${name}`];
    });
    const machine = await DumpedGuest.boot({
      kernel,
      cpu: 'max,la57=off',
      nokaslr: true,
      memoryMiB: MEMORY_MIB,
      extraArguments: disks,
    });
    try {
      await machine.commands(`map 600 small at=0x${VA.toString(16)}`, `touch 0x${VA.toString(16)} 500`);
      const iomem = await shell(machine.guest, 'grep "System RAM" /proc/iomem');
      ram = iomem.map((line) => {
        const [, first = '', last = ''] = /^([0-9a-f]+)-([0-9a-f]+)/.exec(line)!;
        return [parseInt(first, 16), parseInt(last, 16)] as const;
      });
      // The disks are found in any order.
      const serials = await shell(
        machine.guest,
        'for d in /sys/class/nvme/*; do echo $(cat $d/serial) $(basename $d)n1; done',
      );
      const disk = (name: string) => `/dev/${serials.map((line) => line.split(' ')).find(([at]) => at === name)![1]!}`;
      await shell(machine.guest, `head -c ${moduleBytes} ${disk('module')} > /tmp/lime.ko`);
      for (const name of FORMATS) {
        // A page that takes long is not to be left out.
        const words = `insmod /tmp/lime.ko path=${disk(name)} format=${name} timeout=0 && rmmod lime && sync && echo saved`;
        expect(await shell(machine.guest, words)).toEqual(['saved']);
        const vcpu = await machine.pause();
        root = Number(machine.root);
        await machine.asking((qmp) =>
          qmp.execute('pmemsave', { val: 0, size: MEMORY_MIB * 2 ** 20, filename: path(`${name}.memory`) }),
        );
        saved.set(name, { path: path(name), memory: path(`${name}.memory`) });
        theirs.set(name, await machine.asking((qmp) => askForAddresses(qmp, vcpu, path(`${name}.memory`))));
        await machine.resume();
      }
    } finally {
      await machine.stop();
    }
  }, 240_000);

  async function askForAddresses(qmp: QmpClient, vcpu: number, memory: string): Promise<Map<string, string>> {
    const answers = new Map<string, string>();
    const live = await openDump(memory);
    try {
      const ranges = [...mappedRanges(makePaging({ mode: '4-level' }), live.memory, root)].filter(({ va }) =>
        isLasting(va),
      );
      const some = ranges.filter((_, index) => index % Math.ceil(ranges.length / 300) === 0).map(({ va }) => va);
      for (const va of [...some, ...Array.from({ length: 600 }, (_, page) => BigInt(VA + page * PAGE + 5))]) {
        const name = `0x${va.toString(16)}`;
        const answer = (await qmp.humanMonitor(`gva2gpa ${name}`, { vcpu })).trim();
        answers.set(name, answer === 'gpa: 0' ? 'gpa: 0x0' : answer);
      }
    } finally {
      await live.close();
    }
    return answers;
  }

  /** Bytes that the file has, without what the disk has behind them. */
  const bytesOf = (format: (typeof FORMATS)[number]): number => {
    if (format === 'padded') return ram.at(-1)![1] + 1;
    const header = format === 'lime' ? 32 : 0;
    return ram.reduce((sum, [first, last]) => sum + header + last - first + 1, 0);
  };

  test("are the memory that QEMU saves, in LiME's own format", async () => {
    truncateSync(path('lime'), bytesOf('lime'));
    const [file, memory] = [await openDump(path('lime')), await openDump(saved.get('lime')!.memory)];
    onTestFinished(async () => {
      await file.close();
      await memory.close();
    });
    expect(file.format).toBe('lime');
    expect(file.warnings).toBeUndefined();
    const whole = ram.map(([first, last]) => {
      const [pa, end] = [Math.ceil(first / PAGE) * PAGE, Math.floor((last + 1) / PAGE) * PAGE];
      return { pa, byteLength: end - pa };
    });
    expect(file.regions).toEqual(whole);
    let [same, different] = [0, 0];
    for (const { pa, byteLength } of whole) {
      for (let at = pa; at < pa + byteLength; at += PAGE) {
        if (Buffer.compare(file.readBytes(at, PAGE)!, memory.readBytes(at, PAGE)!) === 0) same += 1;
        else different += 1;
      }
    }
    // The guest runs while LiME saves, and caches what it writes to the disk.
    expect(same).toBeGreaterThan(4000);
    process.stdout.write(`LiME: ${same} pages are as QEMU has them, ${different} have changed since\n`);
  });

  test.each(FORMATS)('translate as gva2gpa: format=%s', async (format) => {
    truncateSync(path(format), bytesOf(format));
    const words = ['--root', `0x${root.toString(16)}`, '--paging', '4-level', '--json'];
    if (format === 'raw') {
      // Without the gaps, so no address is where it seems to be: the map is proposed, and is the one of /proc/iomem.
      const { code, stderr } = await runWith(['roots', path('raw')]);
      expect(code).toBe(2);
      const proposed = /--ram-map (\S+);/.exec(stderr)?.[1];
      let position = 0;
      const expected = ram.map(([first, last]) => {
        const pages = Math.floor((last + 1 - first) / PAGE) * PAGE;
        const text = `0x${first.toString(16)}+0x${pages.toString(16)}@0x${position.toString(16)}`;
        position += last + 1 - first;
        return text;
      });
      expect(proposed).toBe(expected.join(','));
      words.push('--ram-map', proposed!);
    }
    const { code, stdout } = await runWith(['translate', path(format), '-', ...words], [...theirs.get(format)!.keys()]);
    expect(code).toBe(0);
    const ours = parse(stdout).map(({ translates, pa }) => (translates === true ? `gpa: ${String(pa)}` : 'Unmapped'));
    expect(ours).toEqual([...theirs.get(format)!.values()]);
    expect(ours.filter((answer) => answer === 'Unmapped').length).toBeGreaterThanOrEqual(100);
    expect(ours.filter((answer) => answer !== 'Unmapped').length).toBeGreaterThan(600);
  });

  test('have the roots that the guest has', async () => {
    truncateSync(path('lime'), bytesOf('lime'));
    const { code, stdout } = await runWith(['roots', path('lime'), '--json']);
    expect(code).toBe(0);
    const sure = parse(stdout).filter(({ confidence }) => confidence === 'sure');
    expect(sure.map((line) => line['root'])).toContain(`0x${root.toString(16)}`);
  });
});
