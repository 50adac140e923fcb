/** What `ptmon watch` does at an event beside printing it: keeps the page, or leaves the guest stopped. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { QmpClient, readRunState } from '../../src/drivers/qemu/index.ts';
import { type LaunchedGuest, launchGuest } from '../../src/drivers/qemu/launch/launch.ts';
import { temporaryFolder } from '../drivers/trace/temporary-folder.ts';
import { startPtmon } from './ptmon-process.ts';
import { leftOut } from './real-guest.ts';

const file = temporaryFolder();
const VA = '0x100000800000';

describe.skipIf(leftOut('test/live/watch-actions, ptmon watch that acts on events'))(
  'ptmon watch on a real guest',
  { timeout: 120_000 },
  () => {
    let vm: LaunchedGuest;
    const sockets = () => ['--qmp', vm.qmpPath, '--gdb', vm.gdbPath];
    const runState = async () => {
      const qmp = await QmpClient.connect(vm.qmpPath);
      try {
        return await readRunState(qmp);
      } finally {
        await qmp.close();
      }
    };

    beforeAll(async () => {
      vm = await launchGuest({ cpu: 'max' });
      await vm.waitForReady();
      await vm.workload.ready();
    }, 150_000);
    afterAll(() => vm?.stop());

    test('--on page-in --stop: stops there, prints registers, and the printed command resumes the guest', async () => {
      await vm.workload.command(`map 4 small at=${VA}`);
      const folder = file("a VM's");
      symlinkSync(dirname(vm.qmpPath), folder);
      const [qmpPath, gdbPath] = [vm.qmpPath, vm.gdbPath].map((path) => join(folder, basename(path))) as [
        string,
        string,
      ];
      const named = ['--qmp', qmpPath, '--gdb', gdbPath];
      const watch = startPtmon('watch', ...named, '--comm', 'workload', '--on', 'page-in', '--stop', '--json');
      await watch.lines(2);
      const work = vm.workload.command(`touch ${VA} 4`, { timeoutMs: 60_000 });
      expect(await watch.ended).toBe(0);
      expect(await runState()).not.toBe('running');
      const events = watch.stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line))
        .filter(({ seq }) => seq !== undefined);
      expect(events.at(-1)).toMatchObject({ kind: 'page-in', comm: 'workload' });
      expect(events.slice(0, -1).filter(({ kind }) => kind === 'page-in')).toEqual([]);
      expect(watch.stderr).toContain(`The guest is stopped after page-in of ${events.at(-1).va}. vCPU 0:`);
      // The kernel handles the fault.
      expect(watch.stderr).toMatch(/rip +0xffffffff[\da-f]{8} /);
      const inQuotes = gdbPath.replace("'", "'\\''");
      expect(watch.stderr).toContain(`gdb -ex 'target remote ${inQuotes}'`);
      const [, words] = /To resume it: ptmon (doctor --release .*?),/.exec(watch.stderr.replaceAll(/\s*\n\s*/g, ' '))!;
      // As a shell takes them.
      const args = execFileSync('sh', ['-c', `printf '%s\\n' ${words}`], { encoding: 'utf8' }).trimEnd();
      expect(await startPtmon(...args.split('\n')).ended).toBe(0);
      await work;
      expect(await runState()).toBe('running');
    });

    test('--dump-pages keeps what is in a page when it comes in', async () => {
      const folder = file('pages');
      const at = '0x100000c00000';
      await vm.workload.command(`map 2 small at=${at}`);
      await vm.workload.command(`touch ${at} 2`);
      // The page is written and its entry cleared: when it comes back, it has its content.
      await vm.workload.command(`mprotect ${at} 2 none`);
      const watch = startPtmon('watch', ...sockets(), '--comm', 'workload', '--dump-pages', folder, '--json');
      await watch.lines(2);
      await vm.workload.command(`mprotect ${at} 2 rw`);
      await vm.workload.command(`touch ${at} 2`);
      watch.child.kill('SIGINT');
      expect(await watch.ended).toBe(130);
      const index = readFileSync(join(folder, 'pages.jsonl'), 'utf8')
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line));
      const kept = index.find(({ va }) => va === at);
      expect(kept).toMatchObject({ comm: 'workload', map: 'anon', pid: vm.workload.hello!.pid });
      // The workload writes its own address into each page.
      expect(readFileSync(join(folder, kept.file)).readBigUInt64LE()).toBe(BigInt(at));
      expect(readdirSync(folder)).toHaveLength(index.filter(({ file: name }) => name !== undefined).length + 1);
      expect(watch.stderr).toMatch(/\d+ pages kept in/);
    });

    test('options that contradict each other are refused before anything is opened', async () => {
      for (const [args, message] of [
        [['--stop'], /--stop needs --on/],
        [['--on', 'page-in'], /--on says at which events to stop: it needs --stop/],
        [['--on', 'page-in', '--stop', '--mode', 'sample'], /needs --mode exact/],
      ] as const) {
        const watch = startPtmon('watch', ...sockets(), '--comm', 'workload', ...args);
        expect(await watch.ended).toBe(2);
        expect(watch.stderr).toMatch(message);
      }
    });
  },
);
