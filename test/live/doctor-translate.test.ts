/** `ptmon doctor` and `ptmon translate` on a real QEMU, and what becomes of its guest. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { GdbClient } from '../../src/drivers/qemu/gdb/index.ts';
import { QmpClient } from '../../src/drivers/qemu/qmp/index.ts';
import { parse, run } from '../cli/run.ts';
import { temporaryFolder } from '../drivers/qemu/transport/peer.ts';
import { type FirmwareGuest, hasQemu, startFirmware } from './firmware-guest.ts';
import { pagingFirmware } from './paging-firmware.ts';
import { ADDRESSES, COUNT, ROOT } from './paging-rom.ts';

const isHere = hasQemu('test/live/doctor-translate, ptmon doctor and ptmon translate on a real QEMU');

const hex = (value: bigint | number) => `0x${value.toString(16)}`;
const sockets = ({ qmp, gdb }: { readonly qmp: string; readonly gdb: string }) => ['--qmp', qmp, '--gdb', gdb];

/** QEMU serves one QMP client at a time: ours comes and goes. */
async function asking<T>({ qmp: address }: FirmwareGuest, ask: (qmp: QmpClient) => Promise<T>): Promise<T> {
  const qmp = await QmpClient.connect(address);
  try {
    return await ask(qmp);
  } finally {
    await qmp.close();
  }
}

async function statusOf(qmp: QmpClient): Promise<string> {
  return ((await qmp.execute('query-status')) as { status: string }).status;
}

async function countOf(qmp: QmpClient): Promise<bigint> {
  return BigInt((await qmp.humanMonitor(`xp /1xg ${hex(COUNT)}`)).trim().split(': ')[1]!);
}

/** The guest runs, and nothing stops it. */
async function expectToRun(guest: FirmwareGuest): Promise<void> {
  await asking(guest, async (qmp) => {
    const before = await countOf(qmp);
    await expect.poll(() => countOf(qmp), { timeout: 20_000, interval: 20 }).toBeGreaterThan(before + 1000n);
    expect(await statusOf(qmp)).toBe('running');
  });
}

/** A guest that counts, with paging on. */
async function startCounting(more: readonly string[] = []): Promise<FirmwareGuest> {
  const guest = await startFirmware('unix', ['-bios', pagingFirmware(), ...more]);
  await asking(guest, (qmp) => qmp.execute('cont'));
  await expectToRun(guest);
  return guest;
}

function ramFile(): string[] {
  const path = join(temporaryFolder(), 'ram');
  return ['-object', `memory-backend-file,id=mem,size=16M,mem-path=${path},share=on`, '-machine', 'memory-backend=mem'];
}

interface Report {
  readonly modes: readonly string[];
  readonly checks: readonly { readonly name: string; readonly outcome: string; readonly detail: string }[];
}

async function doctor(args: readonly string[]): Promise<{ code: number; report: Report; outcomes: object }> {
  const { code, stdout, stderr } = await run(['doctor', '--json', ...args]);
  expect(stderr).toBe('');
  const [report] = parse(stdout) as unknown as Report[];
  const outcomes = Object.fromEntries(report!.checks.map(({ name, outcome }) => [name, outcome]));
  return { code, report: report!, outcomes };
}

describe.skipIf(!isHere)('ptmon translate on a real QEMU', { timeout: 60_000 }, () => {
  test.each(['file', 'process', 'gdb'])('agrees with QEMU, by way of its memory: %s', async (memory) => {
    const guest = await startCounting(memory === 'file' ? ramFile() : []);
    const theirs = await asking(guest, (qmp) =>
      Promise.all(ADDRESSES.map(async (va) => (await qmp.humanMonitor(`gva2gpa ${hex(va)}`)).trim())),
    );
    const { code, stdout, stderr } = await run([
      ...['translate', '--json', '--memory', memory, ...sockets(guest)],
      ...ADDRESSES.map(hex),
    ]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringMatching(/^1 vCPU; memory: /) as string });
    const ours = parse(stdout);
    const plain = ours.map(({ pa, reason }, at) => {
      // QEMU's monitor passes over reserved bits, at which its processor faults.
      if (reason === 'reserved-bit') return theirs[at];
      return pa === undefined ? 'Unmapped' : `gpa: ${pa === '0x0' ? '0' : (pa as string)}`;
    });
    expect(plain).toEqual(theirs);
    // All that QEMU does not say: why.
    const reasons = ours.map(({ reason, level }) =>
      reason === undefined ? 'ok' : `${reason as string} ${String(level)}`,
    );
    expect(reasons).toEqual(
      'ok,ok,ok,ok,not-present 1,not-present 1,ok,reserved-bit 1,ok,ok,not-present 2,reserved-bit 3,no-memory 2,not-present 3,reserved-bit 4,not-present 4,ok,ok'.split(
        ',',
      ),
    );
    await expectToRun(guest);
  });

  test('explains in words, and leaves a guest that stands still as it is', async () => {
    const guest = await startCounting();
    await asking(guest, (qmp) => qmp.execute('stop'));
    const { stdout } = await run(['translate', '0x2fffff', '0x153000', ...sockets(guest)]);
    expect(stdout).toBe(`0x2fffff: root ${hex(ROOT)}, 4-level paging
  PML4E 0 at 0x10000 = 0x11027            → PDPT at 0x11000
        present, writable, user, accessed
  PDPTE 0 at 0x11000 = 0x12027            → PD at 0x12000
        present, writable, user, accessed
  PDE   1 at 0x12008 = 0x80000000004010e7 → 2 MiB page at 0x400000
        present, writable, user, accessed, dirty, large page, PAT, no-execute
  translates to 0x4fffff: 2 MiB page, writable, user, no-execute

0x153000: root ${hex(ROOT)}, 4-level paging
  PML4E 0   at 0x10000 = 0x11027        → PDPT at 0x11000
        present, writable, user, accessed
  PDPTE 0   at 0x11000 = 0x12027        → PD at 0x12000
        present, writable, user, accessed
  PDE   0   at 0x12000 = 0x13027        → PT at 0x13000
        present, writable, user, accessed
  PTE   339 at 0x13a98 = 0x200000053007
        present, writable, user, reserved: bit 45 (MAXPHYADDR is 40)
  does not translate: the PTE (level 1) has reserved bits set: bit 45 (MAXPHYADDR is 40)
`);
    expect(await asking(guest, statusOf)).toBe('paused');
  });
});

describe.skipIf(!isHere)('ptmon doctor on a real QEMU', { timeout: 60_000 }, () => {
  test('finds both ways to watch, and lets the guest run on', async () => {
    const guest = await startCounting(ramFile());
    const { code, report, outcomes } = await doctor(sockets(guest));
    expect({ code, modes: report.modes }).toEqual({ code: 0, modes: ['exact', 'sample'] });
    expect(new Set(Object.values(outcomes))).toEqual(new Set(['ok']));
    await expectToRun(guest);
  });

  test('finds no paging in a guest that has not begun, and leaves it so', async () => {
    const guest = await startFirmware();
    const { code, report, outcomes } = await doctor(sockets(guest));
    expect({ code, modes: report.modes }).toEqual({ code: 3, modes: [] });
    expect(outcomes).toMatchObject({
      paging: 'missing',
      file: 'missing',
      process: 'ok',
      stub: 'ok',
      aliases: 'skipped',
    });
    expect(await asking(guest, statusOf)).toBe('prelaunch');
  });

  test('the command that it names gives a running QEMU a gdbstub', async () => {
    const guest = await startCounting();
    const gdb = join(temporaryFolder(), 'gdb');
    const { stdout } = await run(['doctor', '--qmp', guest.qmp, '--gdb', gdb]);
    const command = /in the monitor of a running QEMU: (.*)/.exec(stdout)?.[1];
    // The one that it was started with is the only one that it has.
    await asking(guest, (qmp) => qmp.humanMonitor('gdbserver none'));
    const said = await asking(guest, (qmp) => qmp.humanMonitor(command!));
    expect(said).toMatch(/Waiting for gdb connection on device/);
    const { report } = await doctor(sockets({ qmp: guest.qmp, gdb }));
    expect(report.modes, JSON.stringify(report.checks)).toEqual(['exact', 'sample']);
    await expectToRun(guest);
  });

  test('frees a guest that a client left with its watchpoints, when it is told to', async () => {
    const guest = await startCounting();
    const dead = await GdbClient.connect(guest.gdb);
    await dead.setWriteWatches([{ va: BigInt(COUNT), byteLength: 8 }]);
    await dead.continue();
    dead.close();
    expect(await asking(guest, statusOf)).toBe('debug');

    const { outcomes } = await doctor(sockets(guest));
    expect(outcomes).toMatchObject({ state: 'failed', aliases: 'ok' });
    expect(await asking(guest, statusOf)).toBe('debug');

    const { code, report } = await doctor([...sockets(guest), '--release']);
    expect(code).toBe(0);
    expect(report.checks.at(-1)).toEqual({
      name: 'release',
      outcome: 'ok',
      detail: 'watchpoints cleared; the guest was stopped (debug), and runs now',
    });
    await expectToRun(guest);
  });
});
