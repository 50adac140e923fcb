/** Exact watching by debug registers, as KVM has them: four, of aligned bytes, which may turn out to be too few or dead. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { openQemu, type MissedWritesNotice, type QemuOptions } from '../../../../src/drivers/qemu/index.ts';
import { openSession } from '../../../../src/session/session.ts';
import { ALIAS, LONG_MODE, PAGED_VA, startVm, type VmOptions } from '../../../cli/scripted-vm.ts';

const PAGE = 0x8000_0000_0012_3067n;
const OTHER_PAGE = 0x8000_0000_0012_4067n;

async function stage(vmOptions: VmOptions = {}, options: Partial<QemuOptions> = {}) {
  const vm = await startVm({ kvm: true, debugRegisters: 'fire', ...vmOptions });
  const notices: MissedWritesNotice[] = [];
  const driver = await openQemu({
    qmp: vm.qmp,
    gdb: vm.gdb,
    memory: 'gdb',
    onMissedWrites: (notice) => notices.push(notice),
    ...options,
  });
  const session = await openSession({ driver });
  onTestFinished(() => session.close());
  const events = session[Symbol.asyncIterator]();
  /** The next event, to which the guest leads while it runs. */
  const after = async (change: () => unknown) => {
    const next = events.next();
    await expect.poll(() => vm.stub.isRunning).toBe(true);
    change();
    const { value } = await next;
    return value;
  };
  return { vm, driver, session, notices, events, after, root: vm.root };
}

const watch = (pa: bigint) => `${(ALIAS + pa).toString(16)},8`;

describe('debug registers', () => {
  test('one for each level of an address, and each write is an event', async () => {
    const { vm, driver, session, after, root, notices } = await stage();
    await session.watch({ root, va: PAGED_VA });
    const leaf = vm.entryPa(1);
    const out = await after(() => expect(vm.write(leaf, 0n)).toBe(true));
    expect(out).toMatchObject({ kind: 'page-out', va: PAGED_VA, pa: 0x12_3abc, vcpu: 0 });
    expect(new Set(vm.stub.watches)).toEqual(new Set([4, 3, 2, 1].map((level) => watch(vm.entryPa(level)))));
    expect(await after(() => vm.write(leaf, OTHER_PAGE))).toMatchObject({ kind: 'page-in', pa: 0x12_4abc });
    expect(session.statistics()).toMatchObject({ foundByResync: 0, lost: { known: 0, unknown: false } });
    expect([driver.statistics.watchpoints, notices]).toEqual([4, []]);
  });

  test('neighbours are not merged: what does not fit is refused before the guest runs, with what would', async () => {
    const { vm, session, events, root } = await stage();
    await session.watch({ root, va: PAGED_VA & ~0xfffn, byteLength: 0x2000 });
    await expect(events.next()).rejects.toThrow(
      /^5 watchpoints are needed, and KVM has 4, .*watch a single address \(--va\), or sample/,
    );
    expect(vm.stub.commands.filter((command) => command.startsWith('Z'))).toEqual([]);
  });

  test('one that another debugger has taken is refused', async () => {
    const { session, events, root } = await stage({ maxWatches: 3 });
    await session.watch({ root, va: PAGED_VA });
    await expect(events.next()).rejects.toThrow(/^QEMU refused 1 of 4 watchpoints/);
  });

  test('of five levels the top one is compared, not trapped', async () => {
    const registers = () => ({ ...LONG_MODE, cr4: 0x1020n, cr3: 0x5_1005n });
    const { vm, session, after, root } = await stage({ mode: '5-level', registers });
    await session.watch({ root, va: PAGED_VA });
    expect(await after(() => vm.write(vm.entryPa(1), 0n))).toMatchObject({ kind: 'page-out' });
    expect(new Set(vm.stub.watches)).toEqual(new Set([4, 3, 2, 1].map((level) => watch(vm.entryPa(level)))));
    expect(await after(() => vm.write(vm.entryPa(1), PAGE))).toMatchObject({ kind: 'page-in' });
    expect(session.statistics().lost).toEqual({ known: 0, unknown: false });
    // No watchpoint tells of this one.
    expect(await after(() => expect(vm.write(vm.entryPa(5), 0n)).toBe(false))).toMatchObject({ kind: 'page-out' });
    expect(session.statistics()).toMatchObject({ foundByResync: 1, lost: { known: 0, unknown: true } });
  });

  test('too few of them later on end the watch, unless it may go on by samples', async () => {
    const { vm, session, after, events, root, notices } = await stage();
    await session.watch({ root, va: PAGED_VA });
    await after(() => vm.write(vm.entryPa(1), 0n));
    await session.watch({ root, va: PAGED_VA + 0x1000n });
    await expect(events.next()).rejects.toThrow(/^5 watchpoints are needed/);
    expect(notices).toEqual([]);
  });

  test('one that is dead beside one that is not: the loss is unknown, and they are kept', async () => {
    const { vm, session, after, root, notices } = await stage();
    await session.watch({ root, va: PAGED_VA });
    await after(() => vm.write(vm.entryPa(1), 0n));
    for (const value of [PAGE, 0n, PAGE, 0n]) {
      await after(() => {
        vm.put(vm.entryPa(1), value);
        // The one of a higher level, whose entry has not changed.
        expect(vm.stub.write(ALIAS + vm.entryPa(2))).toBe(true);
      });
    }
    expect(notices).toEqual([{ kind: 'unreported', events: 1 }]);
    expect(session.statistics()).toMatchObject({ foundByResync: 4, lost: { known: 0, unknown: true } });
    expect(vm.stub.watches).toHaveLength(4);
  });

  test('too few of them later on: the watch goes on by samples, and says so once', async () => {
    const { vm, session, after, events, root, notices } = await stage({}, { whenTooMany: 'sample' });
    await session.watch({ root, va: PAGED_VA });
    await after(() => vm.write(vm.entryPa(1), 0n));
    await session.watch({ root, va: PAGED_VA + 0x1000n });
    const change = () => vm.write(vm.entryPa(1), PAGE);
    const found = after(change);
    expect(await found).toMatchObject({ kind: 'page-in', pa: 0x12_3abc });
    expect(notices).toEqual([{ kind: 'sampling', why: expect.stringMatching(/^5 watchpoints are needed/) }]);
    expect([vm.stub.watches, session.statistics().lost.unknown]).toEqual([[], true]);
    await events.return(undefined);
  });
});

describe.each<[string, VmOptions]>([
  ['KVM', { kvm: true, debugRegisters: 'dead' }],
  ['TCG', { kvm: false, debugRegisters: undefined, isDead: true }],
])('watchpoints of %s that are accepted and never stop the guest', (_name, options) => {
  test('are noticed: what was lost is unknown, is said once, and the watch goes on by samples', async () => {
    const { vm, session, after, root, notices } = await stage(options);
    await session.watch({ root, va: PAGED_VA });
    const leaf = vm.entryPa(1);
    const since = performance.now();
    expect(await after(() => expect(vm.write(leaf, 0n)).toBe(false))).toMatchObject({ kind: 'page-out', vcpu: null });
    expect(performance.now() - since).toBeLessThan(10_000);
    expect(notices).toEqual([{ kind: 'unreported', events: 1 }]);
    expect(session.statistics()).toMatchObject({ foundByResync: 1, lost: { known: 0, unknown: true } });
    expect(vm.stub.watches.length).toBeGreaterThan(0);

    for (const value of [PAGE, 0n, PAGE]) await after(() => vm.write(leaf, value));
    expect(notices.map(({ kind }) => kind)).toEqual(['unreported', 'sampling']);
    expect(vm.stub.watches).toEqual([]);
    expect(session.statistics()).toMatchObject({ foundByResync: 4, lost: { known: 0, unknown: true } });
  });
});

test('a guest in which nothing changes loses nothing, however often it is compared', async () => {
  const { vm, session, events, root, notices } = await stage({ kvm: true, debugRegisters: 'dead' });
  await session.watch({ root, va: PAGED_VA });
  const next = events.next();
  // Accessed and dirty bits are the processor's own doing.
  await expect.poll(() => vm.stub.isRunning).toBe(true);
  vm.write(vm.entryPa(1), PAGE & ~0x60n);
  await expect.poll(() => session.statistics().resyncs, { timeout: 10_000 }).toBeGreaterThan(1);
  expect([session.statistics().lost.unknown, notices]).toEqual([false, []]);
  await session.close();
  await next;
});
