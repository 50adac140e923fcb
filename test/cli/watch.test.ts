/** `ptmon watch` on a QEMU of our own: what real ones do seldom. */
import { describe, expect, test } from 'vitest';
import { run } from './run.ts';
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
    expect(stdout).toMatch(/^0 page-in, 0 page-out/);
    expect(stderr).toContain(
      `Somebody else has the guest stand still (${state}): it is watched on when they let it run.`,
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
