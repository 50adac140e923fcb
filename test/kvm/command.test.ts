/** The command on a guest under KVM: what it chooses by itself, what it refuses, and what it says where debug registers are dead. */
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { KvmHost } from './host.ts';

const place = inject('kvm');

const SOURCE = ['--qmp', 'QMP', '--gdb', 'GDB', '--root', 'ROOT'];

describe.skipIf(place.kind === 'none')('ptmon on a guest under KVM', { timeout: 200_000 }, () => {
  let host: KvmHost;

  beforeAll(async () => {
    host = await KvmHost.open(place);
    if (host.kind === 'bed') await host.call('debugRegisters', { work: true });
  }, 300_000);

  afterAll(() => host?.close());

  /** An address whose page table is there, and that is not. */
  async function address(va: bigint): Promise<string> {
    const beside = `0x${(va + 0x5000n).toString(16)}`;
    for (const command of [`map 1 small at=${beside}`, `touch ${beside}`]) await host.call('command', { command });
    return `0x${va.toString(16)}`;
  }

  test('watches one address exactly by itself', async () => {
    const va = await address(0x2100_0000_0000n);
    const { code, stdout, stderr } = await host.call('ptmon', {
      args: ['watch', ...SOURCE, '--va', va, '--json', '--count', '20'],
      commands: [`loop fault 10 pages=1 at=${va}`],
    });
    expect(stderr).toMatch(/^Exact: .* KVM has 4 watchpoints, the debug registers of the processor\. /m);
    expect(code).toBe(0);
    const end = JSON.parse(stdout.trim().split('\n').at(-1)!);
    expect(end).toMatchObject({ kind: 'end', foundByResync: 0, lost: { known: 0, unknown: false } });
    expect(end.counts['page-in'] + end.counts['page-out']).toBe(20);
  });

  test('samples what does not fit, and says so; --mode exact refuses it and names what fits', async () => {
    const va = await address(0x2200_0000_0000n);
    const watch = ['watch', ...SOURCE, '--va', `${va}+8K`, '--duration', '1'];
    const sampled = await host.call('ptmon', { args: watch });
    expect(sampled.stderr).toContain(
      `Sampling, not exact: these addresses need watchpoints on 5 page-table entries, and KVM has 4`,
    );
    expect(sampled.code).toBe(0);
    const exact = await host.call('ptmon', { args: [...watch, '--mode', 'exact'] });
    expect(exact).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining(`--va ${va} alone would fit`) });
  });

  test('samples a process', async () => {
    const { stderr, code } = await host.call('ptmon', {
      args: ['watch', '--qmp', 'QMP', '--gdb', 'GDB', '--comm', 'workload', '--duration', '1'],
    });
    expect(stderr).toContain('Sampling, not exact: a process has more page-table entries than KVM has watchpoints');
    expect(code).toBe(0);
  });

  test('top lists the processes of a guest that runs on, by its QMP socket alone', async () => {
    const va = await address(0x2300_0000_0000n);
    const { code, stdout, stderr } = await host.call('ptmon', {
      args: ['top', '--qmp', 'QMP', '--json', '--count', '2', '--interval', '1000'],
      commands: [`loop fault 20 pages=1 at=${va}`],
    });
    expect(code, stderr).toBe(0);
    const rows = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { command: string; resident: number });
    expect(rows.filter(({ command, resident }) => command === 'workload' && resident > 0).length).toBeGreaterThan(1);
  });

  test('lists processes and areas, translates, and maps a snapshot of a guest that runs', async () => {
    const va = '0x270000000000';
    for (const command of [`map 1 small at=${va}`, `touch ${va}`]) await host.call('command', { command });
    const outputs: [args: readonly string[], stdout: RegExp][] = [
      [['ps', '--qmp', 'QMP', '--gdb', 'GDB'], / workload$/m],
      [['maps', '1', '--qmp', 'QMP', '--gdb', 'GDB'], / \/init$/m],
      [['translate', va, ...SOURCE], /^ +PTE /m],
      [['map', ...SOURCE, '--va', `${va}+64K`], / rw-u +4K /],
      [['map', '--qmp', 'QMP', '--root', 'ROOT', '--va', `${va}+64K`, '--consistent'], / rw-u +4K /],
    ];
    for (const [args, expected] of outputs) {
      const { code, stdout, stderr } = await host.call('ptmon', { args });
      expect(stdout, `${args.join(' ')}: ${stderr}`).toMatch(expected);
      expect(code).toBe(0);
    }
  });

  test('watches two neighbouring pages of 2 MiB exactly: they share their upper entries', async () => {
    const va = '0x280000000000';
    for (const command of [`map 1024 huge at=${va}`, `touch ${va} 1024`]) await host.call('command', { command });
    const watch = ['watch', ...SOURCE, '--va', `${va}+4M`, '--mode', 'exact', '--duration', '1'];
    const { code, stderr } = await host.call('ptmon', { args: watch });
    expect(stderr).toContain('reached through 4 entries of 3 tables');
    expect(code).toBe(0);
  });

  test('breakpoints of a script take the debug registers, and write nothing into the guest', {
    timeout: 420_000,
  }, async () => {
    const seen = await host.call('breakpoints', { va: '0x260000000000' }, 400_000);
    // getpid is called for the report of each call.
    expect(seen.hits.kernel).toBeGreaterThan(0);
    expect(seen).toMatchObject({ states: ['pending', 'armed'], hits: { own: 5 }, others: 2, after: 0 });
    expect(seen.refused).toMatch(
      /QEMU refused .*KVM has 4 breakpoints, the debug registers of the processor, and 4 are set/,
    );
  });

  test('doctor finds that watchpoints stop the guest', async () => {
    const { stdout, code } = await host.call('ptmon', { args: ['doctor', '--qmp', 'QMP', '--gdb', 'GDB'] });
    expect(stdout).toMatch(/^ok +accelerator +KVM: /m);
    expect(stdout).toMatch(/^ok +watchpoints +4, /m);
    expect(stdout).toContain('ptmon watch works: in exact mode, and in sample mode');
    expect(code).toBe(0);
  });

  // Silicon cannot be told to lose its debug registers.
  describe.skipIf(place.kind === 'direct')('whose debug registers are dead', () => {
    beforeAll(() => host.call('debugRegisters', { work: false }));
    afterAll(() => host.call('debugRegisters', { work: true }));

    test('watch warns within two seconds, says that events may be lost, and goes on by samples', async () => {
      const va = await address(0x2400_0000_0000n);
      const change = [`touch ${va}`, 'sleep 1200', `dontneed ${va}`, 'sleep 1200'];
      await host.call('command', { command: `map 1 small at=${va}` });
      const { stdout, stderr, awaitedMs } = await host.call('ptmon', {
        args: ['watch', ...SOURCE, '--va', va, '--json', '--count', '6'],
        commands: [...change, ...change, ...change],
        awaited: 'no watchpoint stopped the guest',
      });
      console.log(`warned after ${awaitedMs} ms`);
      expect(awaitedMs).toBeLessThan(2000);
      expect(stderr.match(/no watchpoint stopped the guest/g)).toHaveLength(1);
      expect(stderr).toContain('The watch goes on by samples');
      const end = JSON.parse(stdout.trim().split('\n').at(-1)!);
      expect(end).toMatchObject({ foundByResync: 6, lost: { unknown: true } });
    });

    test('doctor finds that they do not stop the guest', async () => {
      const { stdout } = await host.call('ptmon', { args: ['doctor', '--qmp', 'QMP', '--gdb', 'GDB'] });
      expect(stdout).toMatch(/^failed +watchpoints /m);
      expect(stdout).toContain('ptmon watch works in sample mode only');
    });
  });
});
