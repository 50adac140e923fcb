import { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { addVmOption, resolveVm } from '../../../src/cli/options/vm.ts';
import type { Vm } from '../../../src/guest/index.ts';

const vm = (pid: number, name: string): Vm => ({
  pid,
  name,
  qmp: `unix:/${name}.qmp`,
  gdb: `unix:/${name}.gdb`,
  accelerator: 'tcg',
  memoryBytes: 2 ** 30,
  sharesMemory: true,
  modes: ['exact', 'sampled'],
  missing: [],
});
const WEB = vm(7, 'web');

/** The guest that a command is left with. */
function guestAfter(args: readonly string[], vms: readonly Vm[]): { readonly vm?: string; readonly gdb?: string } {
  const command = addVmOption(new Command('test').argument('[words...]'))
    .option('--qmp <socket>')
    .option('--gdb <socket>')
    .option('--ram-file <path>')
    .option('--release');
  command.parse(args, { from: 'user' });
  resolveVm(command, () => vms);
  return command.opts();
}

const gdbAfter = (args: readonly string[], vms: readonly Vm[]) => guestAfter(args, vms).gdb;

describe('which guest a command means', () => {
  test.each<[string[], readonly Vm[], string | undefined]>([
    [[], [WEB], 'unix:/web.gdb'],
    [['0x1000'], [WEB], 'unix:/web.gdb'],
    [['412'], [WEB], 'unix:/web.gdb'],
    [['-'], [WEB], 'unix:/web.gdb'],
    [['--vm', 'web'], [WEB, vm(8, 'db')], 'unix:/web.gdb'],
    [['--vm', '8'], [WEB, vm(8, 'db')], 'unix:/db.gdb'],
    [[], [], undefined],
    [['vm.core'], [WEB], undefined],
    [['--ram-file', '/dev/shm/x'], [WEB], undefined],
    [['--qmp', '/q'], [WEB], undefined],
    // What changes the guest's state takes one that is named.
    [['--release'], [WEB], undefined],
    [['--release', '--vm', 'web'], [WEB], 'unix:/web.gdb'],
  ])('%j', (args, vms, gdb) => {
    expect(gdbAfter(args, vms)).toBe(gdb);
  });

  test('is called by its name, also where its PID chooses it, or nothing', () => {
    for (const args of [['--vm', '7'], ['--vm', 'web'], []]) expect(guestAfter(args, [WEB]).vm).toBe('web (PID 7)');
    expect(guestAfter(['--qmp', '/q'], [WEB]).vm).toBeUndefined();
  });

  test.each<[string[], readonly Vm[], RegExp]>([
    [[], [WEB, vm(8, 'db')], /this host runs 2 VMs: web \(PID 7\), db \(PID 8\); choose one by its PID/],
    [['--vm', 'mail'], [WEB], /no VM has the name or PID mail; there are web \(PID 7\)/],
    [['--vm', 'web', '--gdb', '/g'], [WEB], /--vm already names the guest/],
    [
      ['--vm', 'web'],
      [{ ...WEB, qmp: undefined, missing: ['-qmp X'] }],
      /web \(PID 7\) has no QMP socket: start QEMU with -qmp X/,
    ],
  ])('%j is refused', (args, vms, message) => {
    expect(() => gdbAfter(args, vms)).toThrow(message);
  });
});
