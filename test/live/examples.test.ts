/** Every script of examples/, as `ptmon script` runs it, on a real guest. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type LaunchedGuest, launchGuest } from '../../src/drivers/qemu/launch/launch.ts';
import { QmpClient, readRunState } from '../../src/drivers/qemu/index.ts';
import { leftOut } from './real-guest.ts';

const ROOT = join(import.meta.dirname, '../..');

interface Running {
  /** Resolves when the output so far matches. */
  until(text: RegExp): Promise<void>;
  interrupt(): void;
  readonly ended: Promise<{ readonly code: number | null; readonly text: string }>;
}

describe.skipIf(leftOut('test/live/examples, the example scripts on a real guest'))(
  'examples',
  { timeout: 90_000 },
  () => {
    let vm: LaunchedGuest;
    let pid: number;
    const folder = mkdtempSync(join(tmpdir(), 'ptmon-examples-'));
    const tried = new Set<string>();

    function start(name: string, args: readonly string[]): Running {
      tried.add(`${name}.mjs`);
      const command = [
        'script',
        join(ROOT, 'examples', `${name}.mjs`),
        '--qmp',
        vm.qmpPath,
        '--gdb',
        vm.gdbPath,
        '--',
        ...args,
      ];
      const child = spawn(process.execPath, [join(ROOT, 'dist/cli/main.js'), ...command]);
      let text = '';
      let look = () => {};
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
          look();
        });
      }
      const ended = new Promise<{ code: number | null; text: string }>((resolve) => {
        child.on('close', (code) => {
          look();
          resolve({ code, text });
        });
      });
      return {
        until: (wanted) =>
          new Promise((resolve, reject) => {
            look = () => {
              if (wanted.test(text)) resolve();
              else if (child.exitCode !== null) reject(new Error(`ended without ${wanted.source}: ${text}`));
            };
            look();
          }),
        interrupt: () => void child.kill('SIGINT'),
        ended,
      };
    }

    beforeAll(async () => {
      vm = await launchGuest({ cpu: 'max' });
      await vm.waitForReady();
      ({ pid } = await vm.workload.ready());
    }, 150_000);
    afterAll(async () => {
      await vm?.stop();
      rmSync(folder, { recursive: true });
    });

    test('sharers: a page that fork has shared', async () => {
      await vm.workload.command('map 2 small at=0x100000000000');
      await vm.workload.command('touch 0x100000000000 2');
      await vm.workload.command('fork 0x100000000000 2');
      // Parent and child have one name: it takes the PID.
      const refused = await start('sharers', ['workload', '0x100000001000']).ended;
      expect(refused.text).toMatch(new RegExp(`process "workload": several have this name; give a PID: ${pid}, \\d+`));
      const { code, text } = await start('sharers', [String(pid), '0x100000001000']).ended;
      expect(code).toBe(0);
      expect(text.match(/^workload\[\d+\] {2}0x100000001000 {2}r-$/gm)).toHaveLength(2);
      await vm.workload.command('child exit');
    });

    test('working-set: counts what is mapped and what was accessed', async () => {
      const { code, text } = await start('working-set', ['workload']).ended;
      expect(code).toBe(0);
      expect(text).toMatch(/\d+ of +\d+ pages {2}\/init\n/);
      const [, accessed, mapped] = /(\d+) KiB accessed of (\d+) KiB mapped: workload\[\d+\]/.exec(text)!;
      expect(Number(accessed)).toBeGreaterThan(0);
      expect(Number(accessed)).toBeLessThanOrEqual(Number(mapped));
    });

    test('execve: each program that starts, with its arguments', async () => {
      const script = start('execve', ['2']);
      await script.until(/waiting for programs/);
      await vm.workload.command('sh echo one');
      await vm.workload.command('sh echo two');
      const { code, text } = await script.ended;
      expect(code).toBe(0);
      expect(text).toMatch(/\/bin\/busybox {2}\["sh","-c","echo one"\]\n.*\["sh","-c","echo two"\]\n/s);
    });

    test('unpack: what is written and then made executable, and what is both at once', async () => {
      const script = start('unpack', ['workload', folder]);
      await script.until(/is watched/);
      await vm.workload.command('code 0x100000800000 sealed');
      await vm.workload.command('code 0x100000c00000');
      await vm.workload.command('map 1 small at=0x100001000000');
      await vm.workload.command('touch 0x100001000000');
      await script.until(/100000c00000/);
      script.interrupt();
      expect((await script.ended).code).toBe(130);
      expect(readdirSync(folder).sort()).toEqual(['100000800000.bin', '100000c00000.bin']);
      // lea 1(%rdi),%eax; ret
      for (const name of readdirSync(folder))
        expect(readFileSync(join(folder, name)).subarray(0, 4).toString('hex')).toBe('8d4701c3');
    });

    test('stop-at-wx: leaves the guest stopped', async () => {
      const script = start('stop-at-wx', ['workload']);
      await script.until(/is watched/);
      const work = vm.workload.command('code 0x100001400000');
      const { code, text } = await script.ended;
      expect(code).toBe(0);
      expect(text).toMatch(/100001400000 \(anon\) of workload\[\d+\] is writable and executable: the guest is stopped/);
      const qmp = await QmpClient.connect(vm.qmpPath);
      try {
        expect(await readRunState(qmp)).not.toBe('running');
        await qmp.execute('cont');
      } finally {
        await qmp.close();
      }
      await work;
    });

    test('every example is tried here', () => {
      expect([...tried].sort()).toEqual(
        readdirSync(join(ROOT, 'examples'))
          .filter((name) => name.endsWith('.mjs'))
          .sort(),
      );
    });
  },
);
