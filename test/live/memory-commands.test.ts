/** `ptmon vms`, `read`, `search` and `dump` on a real guest, against what the guest itself says. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type LaunchedGuest, launchGuest } from '../../src/drivers/qemu/launch/launch.ts';
import { run } from '../cli/run.ts';
import { leftOut } from './real-guest.ts';

const VA = '0x100000000000';
const COMMAND = join(import.meta.dirname, '../../dist/cli/main.js');

describe.skipIf(leftOut('test/live/memory-commands, reading the memory of a real guest'))(
  'memory of a process',
  { timeout: 120_000 },
  () => {
    let vm: LaunchedGuest;
    let pid: string;
    let options: string[];
    const folder = mkdtempSync(join(tmpdir(), 'ptmon-memory-'));
    beforeAll(async () => {
      vm = await launchGuest();
      await vm.waitForReady();
      pid = String((await vm.workload.ready()).pid);
      options = ['--qmp', vm.qmpPath, '--gdb', vm.gdbPath, '--pid', pid];
      // Two pages with their stamps, one that was never touched, one that is swapped out.
      await vm.workload.command(`map 4 small at=${VA}`);
      await vm.workload.command(`touch ${VA} 2`);
      await vm.workload.command('touch 0x100000003000');
      await vm.workload.command('swapout 0x100000003000');
    }, 150_000);
    afterAll(async () => {
      await vm?.stop();
      rmSync(folder, { recursive: true });
    });

    test('vms lists it, and --vm names it by its PID', async () => {
      const listed = await run(['vms', '--json']);
      const vms = listed.stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as { pid: number; qmp: string });
      const own = vms.find(({ qmp }) => qmp === `unix:${vm.qmpPath}`);
      expect(own).toMatchObject({ name: 'ptmon-guest', accelerator: 'tcg', modes: ['exact', 'sampled'], missing: [] });
      // In a process of its own: in this one, commands see no VM of this host.
      const command = ['read', `${VA}+16`, '--vm', String(own!.pid), '--pid', pid];
      const text = execFileSync(process.execPath, [COMMAND, ...command], { encoding: 'utf8' });
      expect(text).toMatch(/^0000100000000000 {2}00 00 00 00 00 10 00 00 /);
    });

    test('what is there is printed, what is absent is named with what Linux did with it', async () => {
      const { code, stdout, stderr } = await run(['read', `${VA}+16K`, ...options]);
      expect(code).toBe(5);
      expect(stdout.split('\n').filter((line) => line !== '')).toHaveLength(512);
      expect(stderr).toMatch(
        /^ptmon: 0x100000002000 {2}4K absent: no page is present\nptmon: 0x100000003000 {2}4K absent: swapped out to .*, slot \d+\n$/,
      );
    });

    test('search finds the stamps, and says how much was absent', async () => {
      const stamp = Buffer.alloc(8);
      stamp.writeBigUInt64LE(BigInt(VA) + 0x1000n);
      const found = await run(['search', '--hex', stamp.toString('hex'), ...options, '--va', `${VA}+16K`]);
      expect(found).toMatchObject({ code: 0, stdout: '0x100000001000\n' });
      const ofArea = await run(['search', '--hex', stamp.toString('hex'), ...options, '--map', VA]);
      expect(ofArea).toMatchObject({ code: 0, stdout: expect.stringMatching(/^0x100000001000 {2}/) as string });
      expect(await run(['search', 'nowhere to be found', ...options, '--va', `${VA}+16K`])).toMatchObject({
        code: 1,
        stdout: '',
      });
    });

    test('dump writes a file for each area, with holes where pages are absent', async () => {
      const output = join(folder, 'dumped');
      const { code } = await run(['dump', ...options, '--map', VA, '-o', output]);
      expect(code).toBe(0);
      const [area] = readFileSync(join(output, 'index.jsonl'), 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as { file: string; absent: { va: string }[] });
      const path = join(output, area!.file);
      expect(statSync(path).size).toBe(0x4000);
      expect(readFileSync(path).readBigUInt64LE(0x1000)).toBe(BigInt(VA) + 0x1000n);
      expect(area!.absent.map(({ va }) => va)).toEqual(['0x100000002000', '0x100000003000']);
      expect(await run(['dump', ...options, '--map', VA, '-o', output])).toMatchObject({
        code: 1,
        stderr: expect.stringMatching(/dumped\/index.jsonl: exists already: give another folder/),
      });
      expect(await run(['dump', ...options, '--map', 'heap', '-o', output])).toMatchObject({ code: 1 });
    });

    test.each<[string[], RegExp]>([
      [['read', VA, '--comm', 'x', '--root', '0x1000'], /--pid, --comm and --root exclude each other/],
      [['read', VA, '--vm', 'x'], /--vm already names the guest: leave out --qmp, --gdb and --file/],
      [['read', 'vm.core', VA], /unexpected argument "0x100000000000": the guest is already chosen/],
      [['search', '--hex', 'abc'], /PATTERN abc: with --hex, write an even number of hexadecimal digits/],
      [['search', 'x', '--map', 'bogus'], /has no area bogus; it has .*heap/],
      [['search', 'x', '--map', 'heap', '--va', `${VA}+1`], /--map and --va exclude each other/],
      [['dump', '-o', 'x', '--root', '0x1000'], /unknown option --root/],
      [['dump', '-o', 'x', '--map', 'bogus'], /has no area bogus; it has .*heap/],
    ])('%j is refused', async (args, message) => {
      const own = args.includes('--comm') ? options.slice(0, 4) : options;
      const { code, stderr } = await run([...args, ...own]);
      expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringMatching(message) });
    });
  },
);
