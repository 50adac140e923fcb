import { spawn } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { launchGuest } from '../../../../src/drivers/qemu/launch/launch.ts';
import { guardRunFolder, makeRunFolder } from '../../../../src/drivers/qemu/launch/run-folder.ts';
import { launchPlayer, playOptions } from './fake-guest.ts';
import { temporaryFolder } from './temporary-folder.ts';

/** Whether a process is there and no zombie. */
/** Whether a process has memory: one that ends has none, before it is a zombie. */
function alive(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8') !== '';
  } catch {
    return false;
  }
}

async function eventually(condition: () => boolean): Promise<void> {
  await expect.poll(condition, { timeout: 10_000, interval: 20 }).toBe(true);
}

describe('a guest that is launched', () => {
  test('listens, says hello and leaves nothing when it is stopped', async () => {
    const guest = await launchPlayer();
    const folder = dirname(guest.ramFile);
    expect(await guest.waitForReady()).toMatchObject({ release: '6.1.0' });
    expect(guest.kernel.release).toBe('6.1.0');
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    for (const path of [guest.qmpPath, guest.gdbPath]) expect(statSync(path).isSocket()).toBe(true);
    expect(readFileSync(guest.ramFile, 'utf8')).toBe('RAM');
    expect(alive(guest.pid)).toBe(true);

    await Promise.all([guest.stop(), guest.stop()]);
    expect(existsSync(folder)).toBe(false);
    expect(alive(guest.pid)).toBe(false);
    expect(await guest.ended).toBe('SIGTERM');
    await expect(guest.workload.command('touch')).rejects.toMatchObject({ code: 'source-unavailable' });
  });

  test('and does not want to end is killed', async () => {
    const guest = await launchPlayer('stubborn');
    await guest.waitForReady();
    await guest.stop();
    expect(await guest.ended).toBe('SIGKILL');
    expect(existsSync(dirname(guest.ramFile))).toBe(false);
  });

  test("that ends by itself is reported with its console's last lines, and then QEMU's, to whoever waits", async () => {
    const guest = await launchPlayer();
    const dead = {
      code: 'source-unavailable',
      message: expect.stringMatching(
        /exit code 3[^]*half a line\nKernel panic - not syncing.*\s+QEMU said: .*no such feature$/,
      ),
    };
    await expect(guest.workload.command('die')).rejects.toMatchObject(dead);
    await expect(guest.waitForReady()).rejects.toMatchObject(dead);
  });

  test('that does not boot in time is reported with what its console said, the unfinished line included', async () => {
    const guest = await launchPlayer('hang');
    await eventually(() => guest.console.recentLines.length === 2);
    await expect(guest.waitForReady(100)).rejects.toMatchObject({
      code: 'source-unavailable',
      message: expect.stringMatching(/within 100 ms[^]*Linux version 6\.1\.0\n.*half a li$/),
    });
  });

  test('whose workload leaves processors off is refused: it would look right, and have one', async () => {
    const guest = await launchPlayer('guest', { smp: 2 });
    await expect(guest.waitForReady()).rejects.toMatchObject({
      code: 'source-unavailable',
      message: expect.stringMatching(/runs 1 of its 2 processors.*node guest\/build\.mjs/),
    });
  });
});

describe('a guest that cannot be launched', () => {
  test("QEMU's own words are in the message", async () => {
    const error: unknown = await launchGuest(playOptions('refuse')).catch((error: unknown) => error);
    expect(error).toMatchObject({
      code: 'source-unavailable',
      message: expect.stringMatching(/exit code 1.*unsupported machine type with /),
    });
    const ramFile = (error as Error).message.replace(/^[^]* with /, '');
    expect(basename(ramFile)).toBe('ram');
    expect(existsSync(dirname(ramFile))).toBe(false);
  });

  test('QEMU that does not listen is ended', async () => {
    const options = playOptions('deaf');
    await expect(launchGuest({ ...options, startTimeoutMs: 500 })).rejects.toMatchObject({
      code: 'source-unavailable',
      message: expect.stringContaining('500 ms'),
    });
    // Its command line names the folder of this test.
    const running = readdirSync('/proc').filter(
      (pid) => /^\d+$/.test(pid) && commandLine(pid).includes(options.directory),
    );
    expect(running).toEqual([]);
  });

  test.each([
    ['QEMU', { qemu: '/no/such/qemu' }, /\/no\/such\/qemu/],
    ['a kernel', { kernel: '/no/such/kernel' }, /^\/no\/such\/kernel does not exist$/],
    ['the workload', { directory: '/no/such/folder', kernel: '/proc/version' }, /workload.*guest\/build\.mjs/],
  ])('%s is missing', async (_, options, message) => {
    await expect(launchGuest({ ...playOptions('guest'), ...options })).rejects.toMatchObject({
      code: 'source-unavailable',
      message: expect.stringMatching(message),
    });
  });

  test('a program that is none', async () => {
    const folder = temporaryFolder({ qemu: '#!/no/such/interpreter' });
    await expect(launchGuest({ ...playOptions('guest'), qemu: join(folder, 'qemu') })).rejects.toMatchObject({
      code: 'source-unavailable',
      message: expect.stringContaining('cannot be started'),
    });
  });

  test('a machine without memory', async () => {
    await expect(launchGuest({ ...playOptions('guest'), memoryMiB: 0 })).rejects.toMatchObject({
      code: 'bad-argument',
    });
  });
});

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    return '';
  }
}

describe('the folder of a guest', () => {
  test('is where there is room', () => {
    const roomy = temporaryFolder();
    expect(dirname(makeRunFolder(1, ['/no/such/folder', roomy]).path)).toBe(roomy);
    expect(() => makeRunFolder(2 ** 40, [roomy])).toThrow(/no room for 1099511627776 MiB/);
    expect(() => makeRunFolder(1, ['/no/such/folder'])).toThrow(/no room/);
  });

  test('is not where the paths of sockets would be too long', () => {
    const folder = temporaryFolder({ [`${'x'.repeat(90)}/file`]: '' });
    const long = join(folder, 'x'.repeat(90));
    expect(() => makeRunFolder(1, [long])).toThrow(expect.objectContaining({ code: 'source-unavailable' }) as Error);
    expect(readdirSync(long)).toEqual(['file']);
  });
});

describe('whoever launched a guest may end without a word', () => {
  /** A process that only waits, with `word` in its command line. */
  function sleeper(word: string): number {
    const wait = ['--eval', 'setTimeout(() => {}, 60_000)', '--', word];
    return spawn(process.execPath, wait, { stdio: 'ignore' }).pid as number;
  }

  test('the guard ends QEMU and removes the folder', async () => {
    const { path } = makeRunFolder(1, [temporaryFolder()]);
    const qemu = sleeper(path);
    guardRunFolder(path, qemu)();
    await eventually(() => !existsSync(path));
    expect(alive(qemu)).toBe(false);
  });

  test('a process that has got the number of one that is gone is left alone', async () => {
    const { path } = makeRunFolder(1, [temporaryFolder()]);
    const stranger = sleeper('somebody else');
    guardRunFolder(path, stranger)();
    await eventually(() => !existsSync(path));
    expect(alive(stranger)).toBe(true);
    process.kill(stranger);
  });

  test.each<[NodeJS.Signals, string]>([
    ['SIGKILL', 'stubborn'],
    ['SIGKILL', 'guest'],
    ['SIGTERM', 'guest'],
    ['SIGINT', 'guest'],
    ['SIGHUP', 'guest'],
  ])('%s, with a %s', async (signal, play) => {
    const { directory, qemu, extraArguments } = playOptions(play);
    // The built package is what a process of its own can run.
    const built = new URL('../../../../dist/drivers/qemu/index.js', import.meta.url).href;
    const program =
      `const { launchGuest } = await import(${JSON.stringify(built)});` +
      `const guest = await launchGuest(${JSON.stringify({ directory, qemu, extraArguments })});` +
      'await guest.waitForReady(); console.log(`${guest.pid} ${guest.ramFile}`);';
    const parent = spawn(process.execPath, ['--input-type=module', '--eval', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [, pid, ramFile] = await new Promise<RegExpMatchArray>((resolve, reject) => {
      parent.stdout.once('data', (data: Buffer) => resolve(/^(\d+) (.*)\n/.exec(data.toString()) as RegExpMatchArray));
      parent.once('exit', () => reject(new Error('the launcher ended early')));
    });
    const folder = dirname(ramFile as string);
    expect(basename(folder)).toMatch(/^ptmon-guest-/);
    expect(existsSync(folder)).toBe(true);

    parent.kill(signal);
    await eventually(() => !existsSync(folder));
    expect(alive(Number(pid))).toBe(false);
  });
});
