/** `ptmon watch` on a QEMU of our own: what real ones do seldom. */
import { renameSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { runProgram } from '../../src/cli/program.ts';
import { makeRamFile } from '../drivers/ramfile/ram-file-of.ts';
import { Recorder } from '../sinks/examples.ts';
import { parse, run } from './run.ts';
import { PAGED_VA, type ScriptedVm, startVm } from './scripted-vm.ts';

const hex = (value: bigint): string => `0x${value.toString(16)}`;
const watching = (vm: ScriptedVm): string[] => ['watch', '--qmp', vm.qmp, '--gdb', vm.gdb, '--va', hex(PAGED_VA)];

/** QEMU, qapi/run-state.json: all in which a guest does not run, but `debug`, in which a dead debugger left it. */
const STILL = [
  ...['paused', 'prelaunch', 'io-error', 'watchdog', 'guest-panicked', 'internal-error', 'shutdown', 'suspended'],
  ...['postmigrate', 'finish-migrate', 'save-vm', 'restore-vm', 'inmigrate', 'colo'],
];

describe('a guest that stands still by the will of another', () => {
  test.each(STILL)('%s: it is left so, and said so', async (state) => {
    const vm = await startVm({ state });
    const { code, stdout, stderr } = await run([...watching(vm), '--duration', '1']);
    expect({ code, isRunning: vm.stub.isRunning, state: vm.state() }).toEqual({ code: 0, isRunning: false, state });
    expect(vm.stub.watches).toEqual([]);
    expect(vm.stub.commands.filter((command) => /^(vCont|D|c)/.test(command))).toEqual([]);
    expect(stdout).toMatch(/no events\n0 writes, no events lost/);
    expect(stderr).toContain(
      `Paused by another QEMU client (${state}): watching goes on when that client resumes the guest.`,
    );
  });

  test.each([...STILL, 'debug'])('%s: translate leaves it so', async (state) => {
    const vm = await startVm({ state });
    expect((await run(['translate', '--qmp', vm.qmp, '--gdb', vm.gdb, hex(PAGED_VA)])).code).toBe(0);
    expect({ isRunning: vm.stub.isRunning, state: vm.state() }).toEqual({ isRunning: false, state });
  });
});

test('one that a dead debugger has left is let run', async () => {
  const vm = await startVm({ state: 'debug' });
  expect((await run([...watching(vm), '--duration', '1'])).code).toBe(0);
  expect(vm.stub.isRunning).toBe(true);
});

describe('a RAM file that is not there any more', () => {
  test.each<[string, RegExp, (ram: ReturnType<typeof makeRamFile>) => void]>([
    [
      'truncated to nothing',
      /ram was truncated while it was watched: 1048576 bytes expected, 0 there/,
      (ram) => ram.truncate(0),
    ],
    ['truncated behind the tables', /was truncated while it was watched/, (ram) => ram.truncate(0x10000)],
    ['removed', /the RAM file .*ram was removed/, (ram) => rmSync(ram.path)],
    ['replaced', /was replaced/, (ram) => renameSync(makeRamFile(2 ** 20).path, ram.path)],
  ])('%s: what was seen before, why it ended, and exit code 3', async (_, message, spoil) => {
    const ram = makeRamFile(2 ** 20);
    for (const table of [0x1000, 0x2000, 0x3000]) ram.writeEntry(table, BigInt(table + 0x1000) | 7n);
    const watched = run([
      ...['watch', '--ram-file', ram.path, '--paging', '4-level', '--root', '0x1000', '--va', '0x0+16K=here'],
      ...['--interval', '5', '--json'],
    ]);
    await sleep(200);
    ram.writeEntry(0x4008, 0x5007n);
    await sleep(200);
    spoil(ram);
    const { code, stdout, stderr } = await watched;
    expect(code).toBe(3);
    expect(stderr).toMatch(message);
    expect(parse(stdout).slice(1)).toMatchObject([
      { kind: 'watch', va: '0x0', pages: 4, tags: ['here'], backed: [] },
      { kind: 'page-in', va: '0x1000', pa: '0x5000' },
      { kind: 'end', ended: 'failed', lost: { unknown: true }, failure: { code: 'source-unavailable' } },
    ]);
  });
});

test('--duration counts from the beginning of the watch: whatever comes before it, a sample is taken', async () => {
  const ram = makeRamFile(2 ** 20);
  const [stdout, stderr] = [new Recorder(), new Recorder({ slow: true, highWaterMark: 1 })];
  // What is printed before the watch takes much longer than the watch.
  const releasing = setInterval(() => stderr.release(), 100);
  const code = await runProgram(
    [
      ...['watch', '--ram-file', ram.path, '--paging', '4-level', '--root', '0x1000', '--va', '0x0'],
      ...['--duration', '1ms', '--json'],
    ],
    { stdout, stderr },
  ).finally(() => clearInterval(releasing));
  expect({ code, stderr: stderr.text }).toEqual({ code: 0, stderr: expect.stringMatching(/^[1-9]\d* samples?[,;]/m) });
  expect(parse(stdout.text).at(-1)).toMatchObject({
    kind: 'end',
    lost: { known: 0, unknown: true, reasons: ['sampled'] },
  });
});
