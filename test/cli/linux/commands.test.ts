/** `ptmon ps`, `ptmon maps` and `ptmon watch --pid`: wrong command lines, and guests without a Linux. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { temporaryFolder } from '../../drivers/qemu/transport/peer.ts';
import { run } from '../run.ts';
import { startVm } from '../scripted-vm.ts';

const LIVE = ['--qmp', '/nowhere', '--gdb', '/nowhere'];

describe('a wrong command line exits with 2, and says what is wrong', () => {
  test.each<[args: readonly string[], expected: string]>([
    [['ps'], 'Give the path of a dump first, or --qmp and --gdb'],
    [['ps', ...LIVE, 'file'], 'what is "file"? A live guest takes no SOURCE'],
    [['ps', 'a', 'b'], 'too many arguments'],
    [['maps', ...LIVE], "missing required argument 'words'"],
    [['maps', 'dump'], 'of which process?'],
    [['maps', ...LIVE, '1', '2'], '"1 2" is not the number of a process'],
    [['maps', ...LIVE, 'nginx'], '"nginx" is not the number of a process'],
    [['watch', ...LIVE], 'Give --pid, --comm or --va'],
    [['watch', ...LIVE, '--pid', '1', '--comm', 'init'], 'give one of --pid, --comm and --va'],
    [['watch', ...LIVE, '--va', '0x1000', '--map', 'heap'], '--map takes --pid or --comm'],
    [['watch', ...LIVE, '--comm', 'init', '--verify'], '--verify takes addresses'],
    [['watch', ...LIVE, '--pid', '0'], 'a whole number from 1'],
    [['watch', ...LIVE, '--pid', '1', '--map', '0x'], 'An address is 0x and 1 to 16 digits'],
    [['watch', ...LIVE, '--pid', '1', '--map', ''], 'Write heap, stack, anon'],
  ])('%j', async (args, expected) => {
    const { code, stdout, stderr } = await run(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(expected);
    expect(stderr).not.toMatch(/\n\s+at /);
  });
});

describe('a guest without a Linux exits with 3, says what was found, and runs on', () => {
  test.each([['ps'], ['maps', '1']])('%s %s', async (...args) => {
    const vm = await startVm();
    const { code, stdout, stderr } = await run([...args, '--qmp', vm.qmp, '--gdb', vm.gdb]);
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
    expect(stderr).toMatch(
      /^ptmon: no Linux kernel was found: in the address space of root 0x[0-9a-f]+, no code is mapped/,
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
