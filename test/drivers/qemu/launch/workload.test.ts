import { describe, expect, test } from 'vitest';
import { launchPlayer } from './fake-guest.ts';

describe('a command to the workload', () => {
  test('is answered by its reports', async () => {
    const { workload } = await launchPlayer();
    expect(await workload.ready()).toMatchObject({ pid: 80, release: '6.1.0' });
    const seen: string[] = [];
    const reports = await workload.command('touch 0x1000', { onReport: (report) => seen.push(report.op) });
    expect(reports).toEqual([
      { kind: 'pages', op: 'touch', pid: 80, va: 0x1000n, pages: 1, before: null, pfn: 5, inaccessible: false },
    ]);
    expect(seen).toEqual(['touch']);
  });

  test('waits for the one before it', async () => {
    const { workload } = await launchPlayer();
    const answers = await Promise.all(['touch 1', 'nothing', 'touch 2'].map((command) => workload.command(command)));
    expect(answers.map((reports) => reports.length)).toEqual([1, 0, 1]);
  });

  test('that fails in the guest fails with its words, and the next one is carried out', async () => {
    const { workload } = await launchPlayer();
    await expect(workload.command('fail 1')).rejects.toMatchObject({
      code: 'bad-argument',
      message: expect.stringContaining('madvise: Invalid argument'),
    });
    expect(await workload.command('touch')).toHaveLength(1);
  });

  test.each(['touch 1\ntouch 2', 'x'.repeat(1023)])('that is no line is refused', async (command) => {
    const { workload } = await launchPlayer();
    await expect(workload.command(command)).rejects.toMatchObject({ code: 'bad-argument' });
    expect(await workload.command('touch')).toHaveLength(1);
  });

  test.each(['exit', 'reboot'])('after %s waits for the next workload', async (last) => {
    const { workload } = await launchPlayer();
    await workload.command(last);
    expect(workload.hello).toBeUndefined();
    expect(await workload.command('touch')).toMatchObject([{ pid: 81 }]);
    expect(workload.hello?.pid).toBe(81);
  });

  test('that ends the workload fails, and the next workload takes over', async () => {
    const { workload } = await launchPlayer();
    await expect(workload.command('crash')).rejects.toMatchObject({ message: expect.stringContaining('status 139') });
    expect(await workload.ready()).toMatchObject({ pid: 81 });
  });

  test('that is not answered in time fails, and so do all after it', async () => {
    const { workload } = await launchPlayer();
    const late = { code: 'source-unavailable', message: expect.stringContaining('"never" within 50 ms') };
    await expect(workload.command('never', { timeoutMs: 50 })).rejects.toMatchObject(late);
    await expect(workload.command('touch')).rejects.toMatchObject(late);
  });

  test('whose answer makes no sense fails', async () => {
    const { workload } = await launchPlayer();
    await workload.command('gibberish');
    await expect(workload.command('never')).rejects.toMatchObject({
      code: 'corrupt-input',
      message: expect.stringContaining('segfault at 0'),
    });
  });
});
