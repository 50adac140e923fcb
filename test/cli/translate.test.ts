import { describe, expect, test } from 'vitest';
import { runProgram } from '../../src/cli/program.ts';
import { Recorder } from '../sinks/examples.ts';
import { type Outcome, parse, run } from './run.ts';
import { ALIAS, LONG_MODE, PAGED_VA, type ScriptedVm, startVm } from './scripted-vm.ts';

const sockets = (vm: ScriptedVm) => ['--qmp', vm.qmp, '--gdb', vm.gdb];
const hex = (value: bigint) => `0x${value.toString(16)}`;

async function runWithInput(args: readonly string[], chunks: readonly string[]): Promise<Outcome> {
  const [stdout, stderr] = [new Recorder(), new Recorder()];
  const stdin = (async function* () {
    yield* chunks;
  })();
  const code = await runProgram(args, { stdout, stderr, stdin, vms: () => [] });
  return { code, stdout: stdout.text, stderr: stderr.text };
}

describe('ptmon translate', () => {
  test('explains an address level by level, and lets the guest run on', async () => {
    const vm = await startVm();
    expect(await run(['translate', hex(PAGED_VA), ...sockets(vm), '--memory', 'gdb'])).toEqual({
      code: 0,
      stdout: `0x7f1234567abc: root 0x41000, 4-level paging
  PML4E 254 at 0x417f0 = 0x31027            → PDPT at 0x31000
        present, writable, user, accessed
  PDPTE 72  at 0x31240 = 0x21027            → PD at 0x21000
        present, writable, user, accessed
  PDE   418 at 0x21d10 = 0x11027            → PT at 0x11000
        present, writable, user, accessed
  PTE   359 at 0x11b38 = 0x8000000000123067 → 4 KiB page at 0x123000
        present, writable, user, accessed, dirty, no-execute
  translates to 0x123abc: 4 KiB page, writable, user, no-execute
`,
      stderr: `1 vCPU; memory: the gdbstub at unix:${vm.gdb}, 2 MiB, the slowest way\n`,
    });
    expect(vm.state()).toBe('running');
  });

  test.each(['paused', 'debug', 'prelaunch'])('leaves a guest that stood still as it was: %s', async (state) => {
    const vm = await startVm({ state });
    expect(await run(['translate', hex(PAGED_VA), ...sockets(vm)])).toMatchObject({ code: 0 });
    expect(vm.stub.commands).toContain('?');
    expect(vm.state()).toBe(state);
  });

  test('takes addresses from standard input, and prints a line of JSON for each', async () => {
    const vm = await startVm();
    const input = [`${hex(PAGED_VA)} 0x1`, `23\n\n\t${hex(ALIAS)}\n`];
    const { code, stdout } = await runWithInput(['translate', '0x1000', '-', '--json', ...sockets(vm)], input);
    expect(code).toBe(0);
    expect(parse(stdout)).toMatchObject([
      { va: '0x1000', translates: false, reason: 'not-present', level: 4 },
      { va: hex(PAGED_VA), pa: '0x123abc', pageSize: 4096 },
      { va: '0x123', translates: false },
      { va: hex(ALIAS), pa: '0x0', pageSize: 2 ** 21, rights: { user: false } },
    ]);
  });

  test('looks from another root, and with another vCPU', async () => {
    const vm = await startVm({
      vcpus: 2,
      registers: (vcpu) => ({
        ...LONG_MODE,
        efer: vcpu === 0 ? 0xd00n : 0x500n,
        cr3: vcpu === 0 ? 0x41000n : 0x7_0000n,
      }),
    });
    vm.put(0x7_0000n, 0x8000_0000_0007_1027n);
    const json = async (...more: string[]) => {
      const { stdout } = await run(['translate', '0x0', '--json', ...sockets(vm), ...more]);
      return parse(stdout)[0];
    };
    expect(await json()).toMatchObject({ root: '0x41000', reason: 'not-present' });
    expect(await json('--root', '0x70000')).toMatchObject({ root: '0x70000', reason: 'not-present', level: 3 });
    // That processor has EFER.NXE off, so that XD is reserved.
    expect(await json('--vcpu', '1')).toMatchObject({ root: '0x70000', reason: 'reserved-bit', level: 4 });
  });

  test('finds the addresses that lead to a physical one, and only those', async () => {
    const vm = await startVm();
    const { code, stdout } = await run(['translate', '--pa', '0x123abc', '--pa', '0x200000', ...sockets(vm)]);
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: `0x123abc: root 0x41000, 4-level paging
  0x7f1234567abc: 4 KiB page, writable, user, no-execute
  0xffff888000123abc: 2 MiB page, writable, supervisor, no-execute
  2 virtual addresses translate to it
0x200000: root 0x41000, 4-level paging
  no virtual address translates to it
`,
    });
    const json = await run(['translate', '--json', '--pa', '0x123abc', ...sockets(vm)]);
    expect(parse(json.stdout)).toMatchObject([
      { kind: 'mapping', root: '0x41000', pa: '0x123abc', va: hex(PAGED_VA), pageSize: 4096 },
      { kind: 'mapping', va: hex(ALIAS + 0x123abcn), pageSize: 2 ** 21, rights: { user: false } },
      { kind: 'totals', pa: '0x123abc', pages: 2, missingTables: 0, missingPages: 0, gaps: [] },
    ]);
  });

  test("knows the processor's physical address bits, where QEMU says them", async () => {
    const vm = await startVm({ physicalAddressBits: 40 });
    vm.put(vm.root, 0x100_0000_0027n);
    const { stdout } = await run(['translate', '0x0', ...sockets(vm)]);
    expect(stdout).toContain('the PML4E (level 4) has reserved bits set: bit 40 (MAXPHYADDR is 40)');
  });
});

describe('refuses with 2, prints no data, and harms no guest', () => {
  test.each([
    [['0x800000000000'], 'virtual address 0x800000000000 is not canonical in 4-level paging'],
    [['0x1000', '0x800000000000'], 'is not canonical'],
    [['0x1000', '--vcpu', '1'], 'there is no vCPU 1: the guest has only vCPU 0'],
    [['1000g'], '1000g: not a hexadecimal address'],
    [['--pa', '0x10000000000000000'], '--pa 0x10000000000000000: not a physical address'],
    [['0x11112222333344445'], 'not a hexadecimal address'],
    [['0x1000', '--root', 'cr3'], '--root cr3: neither "current" nor'],
    [['0x1000', '--memory', 'file', '--vcpu', 'x'], 'not an integer from 0'],
    [['0x1000', '--memory', 'disk'], '--memory disk: not one of auto, file, process, gdb'],
    [
      ['0x1000', '--memory', 'gdb', '--ram-file', '/dev/null'],
      'the RAM file /dev/null and reading memory by "gdb" exclude each other',
    ],
    [[], 'nothing to translate: give virtual addresses, or --pa'],
  ] as const)('%j', async (args, expected) => {
    const vm = await startVm();
    const { code, stdout, stderr } = await run(['translate', ...args, ...sockets(vm)]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(expected);
    expect(stderr).not.toMatch(/\n\s+at /);
    expect(vm.state()).toBe('running');
  });

  test('wrong lines of standard input are named, and all others translated', async () => {
    const vm = await startVm();
    const input = ['0x1000\n', `${hex(PAGED_VA)} 0xg\n`, '0x800000000000\n', '0x2000\n'];
    const { code, stdout, stderr } = await runWithInput(['translate', '-', '--json', ...sockets(vm)], input);
    expect(code).toBe(2);
    expect(parse(stdout).map(({ va }) => va)).toEqual(['0x1000', hex(PAGED_VA), '0x2000']);
    expect(stderr).toContain(
      'standard input, line 2: 0xg: not a hexadecimal address of 1 to 16 digits, nor a symbol\n',
    );
    expect(stderr).toContain('standard input, line 3: virtual address 0x800000000000 is not canonical in 4-level');
    expect(vm.state()).toBe('running');
  });

  test.each([
    [['translate', '0x1'], 'give the path of a dump or trace first, or --vm, or --qmp and --gdb of a live guest'],
    [['translate', '-'], 'give the path of a dump or trace first'],
    [['translate', '0x1', '--gdb', '/q'], '--gdb alone is not enough for a live guest: add --qmp, or use --vm'],
    [['translate', '0x1', '--qmp', '/q', '--gdb', '/g', '--ram-map', '0+1M@0'], '--ram-map is for raw memory files'],
    [['translate', 'vm.core'], 'nothing to translate'],
    [
      ['translate', '0x1', '--qmp', 'nowhere', '--gdb', '/g'],
      '"nowhere" is neither a file nor the address of a socket',
    ],
  ] as const)('%j', async (args, expected) => {
    const { code, stdout, stderr } = await run(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(expected);
  });
});

describe('a source that fails exits with 3 and is left in order', () => {
  test.each([
    ['no QMP', () => ({ qmp: '/nowhere/qmp' }), 'unix:/nowhere/qmp does not exist'],
    ['no gdbstub', () => ({ gdb: '/nowhere/gdb' }), 'unix:/nowhere/gdb does not exist'],
  ] as const)('%s', async (_what, replace, expected) => {
    const vm = { ...(await startVm()), ...replace() };
    const { code, stdout, stderr } = await run(['translate', '0x1', ...sockets(vm)]);
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
    expect(stderr).toContain(expected);
    expect(vm.stub.isRunning).toBe(true);
  });

  test('a missing RAM file', async () => {
    const vm = await startVm();
    const { code, stderr } = await run(['translate', '0x1', ...sockets(vm), '--ram-file', '/nowhere/ram']);
    expect(code).toBe(3);
    expect(stderr).toContain("the guest's memory cannot be read; not a RAM file");
    expect(vm.state()).toBe('running');
  });

  test('paging that is off', async () => {
    const vm = await startVm({ registers: () => ({ cr0: 0x10n }) });
    const { code, stdout, stderr } = await run(['translate', '0x1', ...sockets(vm)]);
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
    expect(stderr).toContain('paging is off on vCPU 0 (CR0.PG is 0)');
    expect(vm.state()).toBe('running');
  });

  test('a gdbstub that fails half-way', async () => {
    const vm = await startVm({ reply: (payload) => (payload.startsWith('m') ? 'E14' : undefined) });
    const { code, stdout, stderr } = await run(['translate', '0x1', ...sockets(vm)]);
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
    expect(stderr).toBe(`ptmon: unix:${vm.gdb}: the physical address 0x41000 cannot be read (error 14)\n`);
    expect(vm.state()).toBe('running');
  });
});

test('leaves no signal caught, and no handler behind', async () => {
  const vm = await startVm();
  const before = ['SIGINT', 'exit'].map((name) => process.listenerCount(name));
  await run(['translate', '0x1', ...sockets(vm)]);
  await run(['translate', '0x800000000000', ...sockets(vm)]);
  expect(['SIGINT', 'exit'].map((name) => process.listenerCount(name))).toEqual(before);
});

test.each([80, 120])('its help fits a terminal of %i columns', async (columns) => {
  const { code, stdout } = await run(['translate', '--help'], { columns });
  expect(code).toBe(0);
  for (const line of stdout.split('\n')) expect(line.length, line).toBeLessThanOrEqual(columns);
});
