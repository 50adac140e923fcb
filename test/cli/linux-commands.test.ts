/** `ptmon ps`, `ptmon maps` and `ptmon watch --pid`: wrong command lines, and guests without a Linux. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { temporaryFolder } from '../drivers/qemu/transport/peer.ts';
import { run } from './run.ts';
import { startVm } from './scripted-vm.ts';

const LIVE = ['--qmp', '/nowhere', '--gdb', '/nowhere'];

describe('a wrong command line exits with 2, and says what is wrong', () => {
  test.each<[args: readonly string[], expected: string]>([
    [['ps'], 'give the path of a dump or trace first, or --vm, or --qmp and --gdb'],
    [['ps', ...LIVE, 'file'], 'unexpected argument "file": the guest is already chosen'],
    [['ps', 'a', 'b'], 'too many arguments'],
    [['maps', ...LIVE], 'no process given: add its PID'],
    [['maps', 'dump'], 'no process given: add its PID'],
    [['maps', ...LIVE, '1', '2'], '"1 2" is not a process ID'],
    [['maps', ...LIVE, 'nginx'], '"nginx" is not a process ID'],
    [['read', ...LIVE], 'missing argument: ADDRESS, as 0x…+LENGTH'],
    [
      ['read', ...LIVE, '0x1000', '64'],
      'unexpected argument "64": the guest is already chosen (--vm, --qmp and --gdb, or the only VM of this host); the only argument left is ADDRESS',
    ],
    [['search', ...LIVE], 'missing argument: PATTERN'],
    [['watch', ...LIVE], 'nothing to watch: give --pid, --comm or --va'],
    [['watch', ...LIVE, '--pid', '1', '--comm', 'init'], '--pid, --comm and --va exclude each other'],
    [['watch', ...LIVE, '--va', '0x1000', '--map', 'heap'], 'it needs --pid or --comm'],
    [['watch', ...LIVE, '--comm', 'init', '--verify'], '--verify needs --va'],
    [['watch', ...LIVE, '--pid', '1', '--interval', '5'], '--interval has no effect in exact mode'],
    [
      ['watch', '--qmp', '/q', '--pid', '1', '--max-watchpoints', '5'],
      '--max-watchpoints has no effect in sample mode',
    ],
    [['watch', '--qmp', '/q', '--pid', '1', '--ram-map', '0x0+1M@0'], '--ram-map is for --ram-file without --qmp'],
    [['watch', '--qmp', '/q', '--pid', '1', '--memory', 'gdb'], '--memory gdb pauses the guest'],
    [['watch', '--qmp', '/q', '--va', '0', '--verify'], 'it needs --mode exact'],
    [['watch', ...LIVE, '--pid', '1', '--duration', 'soon'], '--duration soon: not a time'],
    [['watch', ...LIVE, '--pid', '0'], 'not an integer from 1'],
    [['watch', ...LIVE, '--pid', '1', '--map', '0x'], 'not a hexadecimal address'],
    [['watch', ...LIVE, '--pid', '1', '--map', ''], 'write heap, stack, anon'],
  ])('%j', async (args, expected) => {
    const { code, stdout, stderr } = await run(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(expected);
    expect(stderr).not.toMatch(/\n\s+at /);
  });
});

test.each([['read'], ['search'], ['map'], ['translate']])('%s: a file that does not exist', async (command) => {
  const { code, stdout, stderr } = await run([command, 'nosuch.core', ...(command === 'map' ? [] : ['0x1000'])]);
  expect({ code, stdout, stderr }).toEqual({ code: 3, stdout: '', stderr: 'ptmon: nosuch.core does not exist\n' });
});

describe('a guest without a Linux exits with 3, says what was found, and runs on', () => {
  test.each([['ps'], ['maps', '1']])('%s %s', async (...args) => {
    const vm = await startVm();
    const { code, stdout, stderr } = await run([...args, '--qmp', vm.qmp, '--gdb', vm.gdb]);
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
    expect(stderr).toMatch(
      /^ptmon: no Linux kernel can be read: in the address space of root 0x[0-9a-f]+, no code is mapped/,
    );
    expect(vm.state()).toBe('running');
  });

  test('raw memory in which there is nothing', async () => {
    const path = join(temporaryFolder(), 'memory.raw');
    writeFileSync(path, new Uint8Array(1 << 20));
    const { code, stdout, stderr } = await run(['ps', path]);
    expect({ code: code === 2 || code === 3, stdout }).toEqual({ code: true, stdout: '' });
    expect(stderr).toMatch(/^ptmon: /);
  });
});
