import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { examine } from '../../src/cli/commands/doctor/run-doctor.ts';
import { VERSION } from '../../src/sinks/version.ts';
import { startPeer } from '../drivers/qemu/transport/peer.ts';
import { refusing, returning, startQmpServer } from '../drivers/qemu/qmp/qmp-server.ts';
import { parse, run } from './run.ts';
import { LONG_MODE, type ScriptedVm, startVm, type VmOptions } from './scripted-vm.ts';

const sockets = (vm: Pick<ScriptedVm, 'qmp' | 'gdb'>) => ['--qmp', vm.qmp, '--gdb', vm.gdb];

/** Where the stack pointer of a guest is. */
const STACK = 0xffff_8880_0010_0000n;

const NOT_SHOWN = { outcome: 'skipped', detail: 'only the gdbstub reports it' };

/** The checks by name, and the modes. */
async function doctor(args: readonly string[]) {
  const { code, stdout, stderr } = await run(['doctor', '--json', ...args]);
  expect(stderr).toBe('');
  const [report, ...more] = parse(stdout) as { checks: { name: string }[]; modes: string[] }[];
  expect(more).toEqual([]);
  const checks = Object.fromEntries(report!.checks.map(({ name, ...rest }) => [name, rest]));
  return { code, modes: report!.modes, checks };
}

describe('without a VM', () => {
  test('it says how QEMU must be started', async () => {
    const { code, stdout, stderr } = await run(['doctor']);
    expect({ code, stderr }).toEqual({ code: 3, stderr: '' });
    expect(stdout).toContain('-qmp unix:/tmp/qmp,server=on,wait=off\n');
    expect(stdout).toContain('-gdb unix:/tmp/gdb,server=on,wait=off');
    expect(stdout).toContain('-object memory-backend-file,id=mem,size=SIZE,mem-path=/dev/shm/guest,share=on');
    expect(stdout.trimEnd().split('\n').at(-1)).toBe('ptmon watch does not work yet: see above what is missing.');
  });

  test('a RAM file is enough for sampling', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'ptmon-doctor-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const file = join(folder, 'ram');
    writeFileSync(file, new Uint8Array(2 ** 20));
    const { code, checks, modes } = await doctor(['--ram-file', file]);
    expect({ code, modes }).toEqual({ code: 0, modes: ['sample'] });
    expect(checks['file']).toEqual({
      outcome: 'ok',
      detail: `${file}, 1M; without QMP, ptmon cannot verify whose RAM it is`,
    });
    expect(checks['qmp']).toMatchObject({ outcome: 'missing' });
  });

  test('a RAM file that is not there', async () => {
    const { code, checks, modes } = await doctor(['--ram-file', '/nowhere/ram']);
    expect({ code, modes }).toEqual({ code: 3, modes: [] });
    expect(checks['file']).toEqual({ outcome: 'failed', detail: 'the RAM file /nowhere/ram does not exist' });
  });
});

describe('a VM that can be watched', () => {
  test('under KVM: exactly, by four watchpoints that stop the guest', async () => {
    const registers = () => ({ ...LONG_MODE, cr3: 0x4_1005n, rsp: STACK });
    const vm = await startVm({ kvm: true, debugRegisters: 'fire', registers });
    const writer = setInterval(() => vm.stub.write(STACK - 0x48n), 10);
    onTestFinished(() => clearInterval(writer));
    const { checks, modes } = await doctor(sockets(vm));
    expect(modes).toEqual(['exact']);
    expect(checks['accelerator']).toMatchObject({ outcome: 'ok', detail: expect.stringMatching(/^KVM: --mode exact/) });
    expect(checks['watchpoints']).toMatchObject({
      outcome: 'ok',
      detail: expect.stringMatching(/^4, .*stop the guest$/),
    });
    expect(vm.stub.watches).toEqual([]);
  });

  test('all that is found, as text', async () => {
    const vm = await startVm();
    const { code, stdout, stderr } = await run(['doctor', ...sockets(vm)]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const lines = stdout.split('\n').map((line) => line.replace(/(not let read|^failed {3}QEMU's memory) .*/, '$1'));
    expect(lines).toEqual([
      `ok       QMP             unix:${vm.qmp}: QEMU 7.2.22`,
      'ok       guest           running',
      'ok       accelerator     not KVM; TCG, unless QEMU was started with another one',
      'ok       vCPUs           1, x86_64',
      `ok       gdbstub         unix:${vm.gdb} answers`,
      'ok       registers       CR3 of vCPU 0: 0x41005',
      'ok       paging          4-level',
      "missing  RAM file        no file backs the guest's memory",
      '                         → -object memory-backend-file,id=mem,size=2M,mem-path=/dev/shm/guest,share=on -machine memory-backend=mem',
      "failed   QEMU's memory",
      `ok       gdbstub memory  the gdbstub at unix:${vm.gdb}, 2 MiB, the slowest way`,
      'ok       table aliases   the guest can write to root 0x41000 of vCPU 0 at 0xffff888000041000',
      'ok       watchpoints     QEMU accepts any number, as TCG does',
      "missing  sampling        needs a RAM file, or QEMU's memory on this host: the gdbstub reads only while the guest is stopped",
      'skipped  proof           needs QMP, and sampling',
      '',
      'ptmon watch works in exact mode only.',
      '',
    ]);
    expect(vm.state()).toBe('running');
    expect(vm.stub.watches).toEqual([]);
  });

  test('as JSON (docs/formats/doctor.md)', async () => {
    const vm = await startVm();
    const { stdout } = await run(['doctor', '--json', ...sockets(vm)]);
    expect(parse(stdout)).toMatchObject([
      { v: 1, kind: 'doctor', ptmon: VERSION, modes: ['exact'], checks: expect.any(Array) as unknown[] },
    ]);
  });

  test('in colour, where that is wanted', async () => {
    const { stdout } = await withColour(() => run(['doctor']));
    expect(stdout).toContain('\u001B[33mmissing\u001B[39m');
  });
});

async function withColour<T>(work: () => Promise<T>): Promise<T> {
  const before = process.env['FORCE_COLOR'];
  process.env['FORCE_COLOR'] = '1';
  try {
    return await work();
  } finally {
    if (before === undefined) delete process.env['FORCE_COLOR'];
    else process.env['FORCE_COLOR'] = before;
  }
}

describe('what is missing is said, with what gives it', () => {
  test.each<[string, VmOptions, string, object]>([
    [
      'four watchpoints that never stop the guest',
      { kvm: true, debugRegisters: 'dead', registers: () => ({ ...LONG_MODE, cr3: 0x4_1005n, rsp: STACK }) },
      'watchpoints',
      {
        outcome: 'failed',
        detail: expect.stringMatching(/^QEMU accepts 4 watchpoints, .*none of them stopped the guest/) as string,
        remedy: expect.stringContaining('--mode sample') as string,
      },
    ],
    [
      'no watchpoints',
      { reply: (payload) => (payload.startsWith('Z') ? '' : undefined) },
      'watchpoints',
      { outcome: 'failed' },
    ],
    [
      'paging off',
      { registers: () => ({ cr0: 0x10n }) },
      'paging',
      { outcome: 'missing', remedy: 'let the guest boot' },
    ],
    ['paging off: no sampling', { registers: () => ({ cr0: 0x10n }) }, 'sampling', { outcome: 'missing' }],
    ['not x86', { target: 'aarch64' }, 'vcpus', { outcome: 'failed', detail: '1, aarch64: ptmon supports only x86' }],
    ['no registers', { reply: (payload) => (payload === 'g' ? 'E01' : undefined) }, 'registers', { outcome: 'failed' }],
    ['no memory', { reply: (payload) => (payload.startsWith('m') ? 'E14' : undefined) }, 'stub', { outcome: 'failed' }],
  ])('%s', async (_what, options, name, expected) => {
    const vm = await startVm(options);
    const { code, checks, modes } = await doctor(sockets(vm));
    expect(checks[name]).toMatchObject(expected);
    if (name !== 'vcpus') expect({ code, modes }).toEqual({ code: 3, modes: [] });
    expect(vm.state()).toBe('running');
    expect(vm.stub.watches).toEqual([]);
  });

  test('a root that maps no page tables writable: the guest is let run for a moment, in case it goes elsewhere', async () => {
    const vm = await startVm();
    // Its 2 MiB page is read-only now.
    vm.put(0x6_2000n, 0x8000_0000_0000_00e1n);
    const { code, checks, modes } = await doctor(sockets(vm));
    expect({ code, modes }).toEqual({ code: 3, modes: [] });
    expect(checks['aliases']).toMatchObject({ outcome: 'failed' });
    expect(vm.stub.commands).toContain('vCont;c');
    expect(vm.state()).toBe('running');
  });

  test('the kernel root is found where a processor loads it later (page-table isolation)', async () => {
    const vm: ScriptedVm = await startVm({
      registers: () => {
        const runs = vm.stub.commands.filter((command) => command === 'vCont;c').length;
        return { cr0: 0x8001_0001n, cr4: 0x20n, efer: 0xd00n, cr3: runs < 3 ? 0x7_0000n : vm.root };
      },
    });
    const { checks, modes } = await doctor(sockets(vm));
    expect(checks['aliases']).toMatchObject({ outcome: 'ok' });
    expect(modes).toEqual(['exact']);
  });

  test('of a guest that stands still, no processor is let run to look for one', async () => {
    const vm = await startVm({ state: 'paused' });
    vm.put(0x6_2000n, 0x8000_0000_0000_00e1n);
    const { checks } = await doctor(sockets(vm));
    expect(checks['aliases']).toMatchObject({ outcome: 'failed' });
    expect(vm.stub.commands).not.toContain('vCont;c');
    expect(vm.state()).toBe('paused');
  });
});

describe('sockets that are dead, or something else', () => {
  test('QMP: the gdbstub is not touched, since nobody knows whether the guest runs', async () => {
    const vm = { ...(await startVm()), qmp: '/nowhere/qmp' };
    const { code, checks } = await doctor(sockets(vm));
    expect(code).toBe(3);
    expect(checks['qmp']).toEqual({
      outcome: 'failed',
      detail: 'unix:/nowhere/qmp does not exist',
      remedy: '-qmp unix:/nowhere/qmp,server=on,wait=off',
    });
    expect(checks).toMatchObject({ gdb: { outcome: 'skipped' }, registers: NOT_SHOWN });
    expect(vm.stub.commands).toEqual([]);
    expect(vm.stub.isRunning).toBe(true);
  });

  test('the gdbstub', async () => {
    const vm = { ...(await startVm()), gdb: '127.0.0.1:1' };
    const { code, checks } = await doctor(sockets(vm));
    expect(code).toBe(3);
    expect(checks['gdb']).toMatchObject({
      outcome: 'failed',
      remedy:
        '-gdb tcp:127.0.0.1:1,server=on,wait=off, or in the monitor of a running QEMU: gdbserver tcp:127.0.0.1:1,server=on,wait=off',
    });
    expect(checks).toMatchObject({ qmp: { outcome: 'ok' }, registers: NOT_SHOWN, stub: { outcome: 'skipped' } });
  });

  test('neither is what it should be', async () => {
    const web = await startPeer(
      (socket) => void socket.on('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')),
    );
    const { address: qmp } = await startQmpServer((command, socket) =>
      socket.write(
        command.execute === 'query-status'
          ? returning(command, { status: 'running' })
          : refusing(command, 'CommandNotFound', 'no such command'),
      ),
    );
    const { signal } = new AbortController();
    const options = { qmp, gdb: web.address, timeoutMs: 300 };
    const found = await examine(options, signal);
    expect(found.find(({ name }) => name === 'gdb')).toMatchObject({ outcome: 'failed' });
    expect(found.find(({ name }) => name === 'vcpus')).toMatchObject({ outcome: 'failed' });
    const silent = await startPeer(() => {});
    const [first] = await examine({ qmp: silent.address, timeoutMs: 100 }, signal);
    expect(first).toMatchObject({
      name: 'qmp',
      outcome: 'failed',
      detail: expect.stringMatching(/no QMP greeting/) as string,
    });
  });
});

describe('a guest that stands still', () => {
  test.each([
    ['paused', 'ok'],
    ['prelaunch', 'ok'],
    ['debug', 'failed'],
    ['guest-panicked', 'failed'],
  ])('%s: it is left so', async (state, outcome) => {
    const vm = await startVm({ state });
    const { code, checks } = await doctor(sockets(vm));
    expect(code).toBe(0);
    expect(checks['state']).toMatchObject({
      outcome,
      detail: expect.stringMatching(new RegExp(`^${state}: `)) as string,
    });
    expect(vm.state()).toBe(state);
  });

  test.each(['debug', 'paused', 'prelaunch'])('%s: --release lets it run, and says so', async (state) => {
    const vm = await startVm({ state });
    vm.stub.watches.push('1000,8');
    const { code, checks } = await doctor([...sockets(vm), '--release']);
    expect(code).toBe(0);
    expect(checks['release']).toEqual({
      outcome: 'ok',
      detail: `watchpoints cleared; the guest was stopped (${state}), and runs now`,
    });
    expect(vm.state()).toBe('running');
    expect(vm.stub.watches).toEqual([]);
  });

  test('running, with watchpoints left: --release clears them', async () => {
    const vm = await startVm();
    vm.stub.watches.push('1000,8');
    const { code, checks } = await doctor([...sockets(vm), '--release']);
    expect({ code, watches: vm.stub.watches, state: vm.state() }).toEqual({ code: 0, watches: [], state: 'running' });
    expect(checks['release']).toMatchObject({ detail: 'watchpoints cleared; the guest ran before, and still runs' });
  });

  test('--release says nothing of watching, which it has not checked', async () => {
    const { stdout } = await run(['doctor', ...sockets(await startVm()), '--release']);
    expect(stdout).toMatch(/^ok +release +watchpoints cleared; .*\n$/);
  });

  test('panicked: --release does not let it run', async () => {
    const vm = await startVm({ state: 'guest-panicked' });
    const { code, checks } = await doctor([...sockets(vm), '--release']);
    expect(code).toBe(3);
    expect(checks['release']).toMatchObject({ outcome: 'failed' });
    expect(vm.state()).toBe('guest-panicked');
  });

  test('without QMP, --release lets it run all the same', async () => {
    const vm = await startVm({ state: 'debug' });
    const { code, checks } = await doctor(['--gdb', vm.gdb, '--release']);
    expect(code).toBe(0);
    expect(checks['release']).toMatchObject({ detail: 'watchpoints cleared, and the guest resumed' });
    expect(vm.stub.isRunning).toBe(true);
  });

  test('a gdbstub that does not answer: --release says that watchpoints may be left', async () => {
    const vm = { ...(await startVm({ state: 'debug' })), gdb: '/nowhere/gdb' };
    const { code, checks } = await doctor([...sockets(vm), '--release']);
    expect(code).toBe(3);
    expect(checks['release']).toMatchObject({
      outcome: 'failed',
      detail: expect.stringMatching(/watchpoints were not cleared.*does not exist.*debug/),
    });
  });
});

describe('refuses with 2, and prints no data', () => {
  test.each([
    [['--release'], '--release needs --vm or --gdb'],
    [['--qmp', 'nowhere'], '"nowhere" is neither a file nor the address of a socket'],
    [['--qmp', 'a:0'], '"a:0" is neither a file nor the address of a socket'],
    [['--watch'], 'unknown option --watch'],
    [['now'], 'too many arguments'],
  ] as const)('%j', async (args, expected) => {
    const { code, stdout, stderr } = await run(['doctor', ...args]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(expected);
    expect(stderr).not.toMatch(/\n\s+at /);
  });
});

test('an interrupt in the middle lets the guest run on', async () => {
  const controller = new AbortController();
  const vm = await startVm({
    reply: (payload) => {
      if (payload === 'g') controller.abort(new Error('interrupted'));
      return undefined;
    },
  });
  await expect(examine({ qmp: vm.qmp, gdb: vm.gdb }, controller.signal)).rejects.toThrow('interrupted');
  expect(vm.state()).toBe('running');
});

test('leaves no signal caught, and no handler behind', async () => {
  const vm = await startVm();
  const before = ['SIGINT', 'exit'].map((name) => process.listenerCount(name));
  await run(['doctor', ...sockets(vm)]);
  expect(['SIGINT', 'exit'].map((name) => process.listenerCount(name))).toEqual(before);
});

test.each([80, 120])('its help fits a terminal of %i columns', async (columns) => {
  const { code, stdout } = await run(['doctor', '--help'], { columns });
  expect(code).toBe(0);
  for (const line of stdout.split('\n')) expect(line.length, line).toBeLessThanOrEqual(columns);
});
