/** RAM that QEMU plugs in while a guest is watched: the guest keeps page tables there, and they are watched as any other. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { QmpClient } from '../../src/drivers/qemu/qmp/client.ts';
import { openQemuSampling } from '../../src/drivers/qemu/index.ts';
import { openSession } from '../../src/session/session.ts';
import { temporaryFolder } from '../drivers/qemu/transport/peer.ts';
import { leftOut } from './real-guest.ts';
import { whyNoProof } from './proved-windows.ts';
import { WatchedGuest } from './watched-guest.ts';

const VA = 0x600000000000n;
/** Of as many page tables. */
const PAGES = 4;
const STEP = 2 ** 21;
const HIGH = 2 ** 32;

const isHere = !leftOut('test/live/hot-plug, RAM that is plugged in while a guest is watched');

/** The first page that each of several page tables maps. */
const RANGES = Array.from({ length: PAGES }, (_, n) => ({ va: VA + BigInt(n * STEP), pages: 1 }));
const TOUCH = RANGES.flatMap(({ va }) => [`map 1 small at=0x${va.toString(16)}`, `touch 0x${va.toString(16)}`]);

interface Machine {
  readonly machine: WatchedGuest;
  /** For the one that plugs: QEMU serves one client a socket. */
  readonly otherQmp: string;
}

async function boot(online: 'online' | 'online_movable' = 'online'): Promise<Machine> {
  const otherQmp = join(temporaryFolder(), 'other.qmp');
  const machine = await WatchedGuest.boot({
    cpu: 'max',
    append: `memhp_default_state=${online}`,
    extraArguments: ['-m', '256M,slots=2,maxmem=2G', '-qmp', `unix:${otherQmp},server=on,wait=off`],
  });
  onTestFinished(() => machine.stop());
  return { machine, otherQmp };
}

const BACKENDS = {
  file: (path: string) => ({ 'qom-type': 'memory-backend-file', 'mem-path': path, share: true }),
  ram: () => ({ 'qom-type': 'memory-backend-ram' }),
} as const;

/** Plugs a DIMM in. */
async function plug(
  otherQmp: string,
  backend: keyof typeof BACKENDS,
  path = join(temporaryFolder(), 'plugged'),
): Promise<void> {
  const qmp = await QmpClient.connect(otherQmp);
  try {
    await qmp.execute('object-add', { id: 'more', size: 2 ** 28, ...BACKENDS[backend](path) });
    await qmp.execute('device_add', { driver: 'pc-dimm', id: 'dimm', memdev: 'more' });
  } finally {
    await qmp.close();
  }
}

/** Plugs it out again, and removes its file. */
async function unplug(otherQmp: string, path: string): Promise<void> {
  const qmp = await QmpClient.connect(otherQmp);
  const deleted = new Promise<void>((resolve) => {
    qmp.subscribe(({ name, data }) => {
      if (name === 'DEVICE_DELETED' && data['device'] === 'dimm') resolve();
    });
  });
  try {
    await qmp.execute('device_del', { id: 'dimm' });
    await deleted;
    await qmp.execute('object-del', { id: 'more' });
    rmSync(path);
  } finally {
    await qmp.close();
  }
}

describe.skipIf(!isHere)('RAM that is plugged in', { timeout: 180_000 }, () => {
  test.each(['file', 'ram'] as const)('of a memory-backend-%s: exact', async (backend) => {
    const { machine, otherQmp } = await boot();
    const { events, statistics } = await machine.watch({
      ranges: RANGES,
      // The tables are made after the guest has taken the new memory.
      commands: [() => plug(otherQmp, backend), () => settled(machine), ...TOUCH],
    });
    expect(events.map(({ kind }) => kind)).toEqual(Array.from({ length: PAGES }, () => 'page-in'));
    expect(events.map(({ va }) => va)).toEqual(RANGES.map(({ va }) => va));
    expect(tablesOf(events).every((pa) => pa >= HIGH)).toBe(true);
    expect(statistics.lost).toMatchObject({ known: 0, unknown: false });
  });

  test.each([false, true])('and out again does not end a watch by samples, with proof: %s', async (proof) => {
    // Of such memory Linux makes no page table, so it can give all of it back.
    const { machine, otherQmp } = await boot('online_movable');
    const path = join(temporaryFolder(), 'plugged');
    await plug(otherQmp, 'file', path);
    const driver = await openQemuSampling({ qmp: machine.guest.qmpPath, intervalMs: 5, proof });
    expect(driver.memorySource).toContain(path);
    const session = await openSession({ driver });
    await session.watch({ root: machine.root, va: VA, byteLength: 4096 });
    const work = (async () => {
      await unplug(otherQmp, path);
      // The same addresses, another file.
      await plug(otherQmp, 'file', path);
      await unplug(otherQmp, path);
      for (const command of TOUCH.slice(0, 2)) await machine.guest.workload.command(command);
    })();
    for await (const { kind, va } of session) {
      expect({ kind, va }).toEqual({ kind: 'page-in', va: VA });
      break;
    }
    await work;
  });

  test.each([false, true])('by samples, with proof: %s', async (proof) => {
    const { machine, otherQmp } = await boot();
    const driver = await openQemuSampling({ qmp: machine.guest.qmpPath, intervalMs: 5, proof });
    if (proof) expect(driver.proof === undefined).toBe(whyNoProof() !== undefined);
    const session = await openSession({ driver });
    for (const { va, pages } of RANGES) {
      await session.watch({ root: machine.root, va, byteLength: pages * 4096 });
    }
    const work = (async () => {
      await plug(otherQmp, 'file');
      await settled(machine);
      for (const command of TOUCH) await machine.guest.workload.command(command);
    })();
    const seen: bigint[] = [];
    for await (const { kind, va } of session) {
      if (kind === 'page-in') seen.push(va);
      if (seen.length === PAGES) break;
    }
    await work;
    expect(seen).toEqual(RANGES.map(({ va }) => va));
  });
});

/** The guest uses new memory first: until it does, a touched page comes from the old. */
async function settled(machine: WatchedGuest): Promise<void> {
  for (let n = 0; n < 200; n++) {
    const at = `0x${(VA + 2n ** 40n + BigInt(n) * 4096n).toString(16)}`;
    await machine.guest.workload.command(`map 1 small at=${at}`);
    const [report] = await machine.guest.workload.command(`touch ${at}`);
    if (report?.kind === 'pages' && (report.pfn ?? 0) * 4096 >= HIGH) return;
  }
  throw new Error('the guest does not use the memory that was plugged in');
}

function tablesOf(events: readonly { readonly cause: { readonly entryPa: number } | null }[]): number[] {
  return events.map(({ cause }) => cause?.entryPa ?? 0);
}
