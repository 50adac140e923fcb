/** Watching by QEMU's plugin: on Linux, whose workload reports what it did, and on a guest that counts what two vCPUs write. */
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeSync } from 'node:fs';
import { once } from 'node:events';
import { createConnection, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { MonitorEvent } from '../../src/core/monitor/events.ts';
import { PluginConnection } from '../../src/drivers/qemu/plugin/connection.ts';
import { buildPlugin, openQemuPlugin, type QemuPluginOptions } from '../../src/drivers/qemu/plugin/index.ts';
import { QmpClient } from '../../src/drivers/qemu/qmp/client.ts';
import { openSession } from '../../src/session/session.ts';
import { driverContract } from '../../src/testing/index.ts';
import { temporaryFolder } from '../drivers/qemu/transport/peer.ts';
import { startFirmware } from './firmware-guest.ts';
import { differences } from './page-history.ts';
import { raceFirmware } from './paging-firmware.ts';
import { FLIPPED, RACE_CODE, ROOT } from './paging-rom.ts';
import { assembleAt, hasAssembler } from './probe/probed-guest.ts';
import { startPtmon } from './ptmon-process.ts';
import { leftOut } from './real-guest.ts';
import { WatchedGuest, type WatchPlan } from './watched-guest.ts';

const what = 'test/live/plugin, watching by a plugin of QEMU';
const isHere = !leftOut(what) && hasAssembler(what);
const hex = (value: bigint): string => `0x${value.toString(16)}`;

/** Each test has a place of its own. */
let nextVa = 0x300000000000n;
function place(): bigint {
  nextVa += 0x40000000n;
  return nextVa;
}

/** The plugin, built into a folder; and the path of a socket for it. */
async function newPlugin(folder: string): Promise<{ readonly socket: string; readonly arguments: readonly string[] }> {
  const [file, socket] = [join(folder, 'plugin.so'), join(folder, 'socket')];
  await buildPlugin(file);
  // A small ring, so that it is full at times.
  return { socket, arguments: ['-plugin', `${file},socket=${socket},ring=256`] };
}

/** Watches while `work` is done, until every write of it is processed. */
async function watchWhile<Result>(
  options: QemuPluginOptions,
  ranges: readonly { readonly root: bigint; readonly va: bigint; readonly pages: number }[],
  work: () => Promise<Result>,
) {
  const driver = await openQemuPlugin({ compareMs: 50, ...options });
  const stop = new AbortController();
  // Nothing has arrived for a while, and that twice.
  let quietBatches = -Infinity;
  const onBatch = (batch: readonly unknown[]) => {
    if (batch.length === 0 && ++quietBatches === 2) stop.abort();
  };
  const session = await openSession({ driver, signal: stop.signal, onBatch });
  for (const { root, va, pages } of ranges) await session.watch({ root, va, byteLength: pages * 4096 });
  const done = work().finally(() => (quietBatches = 0));
  done.catch(() => {});
  const events: MonitorEvent[] = [];
  for await (const event of session) events.push(event);
  return { events, result: await done, statistics: session.statistics() };
}

/** Watches while the workload does as it is told: the events are what it reports, and nothing is lost. */
async function expectAll(
  { root, guest, pid }: WatchedGuest,
  options: QemuPluginOptions,
  { ranges, commands }: WatchPlan,
) {
  const outcome = await watchWhile(
    options,
    ranges.map((range) => ({ root, ...range })),
    async () => {
      const reports = [];
      for (const command of commands) reports.push(...(await guest.workload.command(command as string)));
      return reports;
    },
  );
  expect(differences(outcome.events, outcome.result, ranges, pid)).toEqual([]);
  expect(outcome.statistics).toMatchObject({ lost: { known: 0, unknown: false }, faults: 0 });
  return outcome;
}

describe.skipIf(!isHere).each([
  ['one vCPU', { cpu: 'max,la57=off', smp: 1 }],
  ['two vCPUs', { cpu: 'max', smp: 2 }],
])('P3 a plugin of QEMU on a real guest with %s', { timeout: 120_000 }, (_name, options) => {
  let machine: WatchedGuest;
  let plugin: string;
  const folder = mkdtempSync(join(tmpdir(), 'ptmon-test-'));
  const otherQmp = join(folder, 'qmp');
  beforeAll(async () => {
    const { socket, arguments: extraArguments } = await newPlugin(folder);
    plugin = socket;
    const more = ['-qmp', `unix:${otherQmp},server=on,wait=off`];
    machine = await WatchedGuest.boot({ ...options, extraArguments: [...extraArguments, ...more] });
  }, 150_000);
  afterAll(async () => {
    await machine?.stop();
    rmSync(folder, { recursive: true });
  });

  /** Of the command, on all memory that the workload maps without an address. */
  const args = () => {
    const where = ['--root', hex(machine.root), '--va', '0x7e0000000000+2048G'];
    return ['--qmp', machine.guest.qmpPath, '--plugin', plugin, ...where];
  };
  const connect = () => ({ qmp: machine.guest.qmpPath, plugin, code: 'kernel' as const });

  const expectExactly = (plan: WatchPlan) => expectAll(machine, connect(), plan);

  test('demand faults, changes of rights, a child that copies on write, and pages given back', async () => {
    const va = place();
    const at = hex(va);
    const { events } = await expectExactly({
      ranges: [{ va, pages: 16 }],
      commands: [
        `map 16 small at=${at}`,
        `read ${at} 2`,
        `touch ${at} 16`,
        `mprotect ${at} 4 none`,
        `mprotect ${at} 4 rw`,
        `dontneed ${at} 8`,
        `touch ${at} 8`,
        `fork ${at} 4`,
        `cow ${at} 2`,
        'child exit',
        `unmap ${at} 16`,
      ],
    });
    expect(events.length).toBeGreaterThan(48);
  });

  test('small pages that become a huge one, are split, and move', async () => {
    const [va, target] = [place(), place()];
    const at = hex(va);
    await expectExactly({
      ranges: [
        { va, pages: 512 },
        { va: target, pages: 512 },
      ],
      commands: [
        `map 512 small at=${at}`,
        `touch ${at} 512`,
        `collapse ${at}`,
        `split ${hex(va + 0x5000n)}`,
        `mremap ${at} 512 to=${hex(target)}`,
        `unmap ${hex(target)} 512`,
      ],
    });
  });

  test('threads at full speed, in page tables that come and go, and the next watch begins anew', async () => {
    for (const seed of [3, 4]) {
      const va = place();
      const threads = options.smp;
      const { events } = await expectExactly({
        // No table is there before: no entry of a new one may be missed.
        ranges: [{ va, pages: 512 * 64 }],
        commands: [`loop mix ${1000 / threads} pages=8 at=${hex(va)} stride=0x1000000 threads=${threads} seed=${seed}`],
      });
      expect(events.length).toBeGreaterThan(2000);
    }
  });

  test('a second ptmon is told that the first one is there; one that comes after it is not', async () => {
    const first = await openQemuPlugin(connect());
    await expect(openQemuPlugin({ ...connect(), qmp: otherQmp })).rejects.toThrow(
      'another ptmon watches this guest by the plugin',
    );
    await first.close();
    await (await openQemuPlugin(connect())).close();
  });

  test('one that has ended is not there any more, though the plugin has not read all that it sent', async () => {
    const alive = Buffer.alloc(24);
    alive.writeUInt32LE(4);
    for (let round = 0; round < 20; round++) {
      const first = createConnection(plugin);
      await once(first, 'data');
      first.write(Buffer.concat(Array.from({ length: 4000 }, () => alive)));
      first.destroy();
      (await PluginConnection.connect(plugin)).close();
    }
  });

  test('kill -9 leaves the guest running, whatever ptmon was at', async () => {
    const { guest } = machine;
    for (const afterMs of [0, 100, 400, 800, 1600]) {
      const { child, ended } = startPtmon('watch', ...args(), '--json');
      // Its output is not read: the ring is full after a while.
      child.stdout?.pause();
      const work = guest.workload.command('spin fault 10');
      await sleep(afterMs);
      child.kill('SIGKILL');
      await ended;
      await work;
    }
  });

  test.skipIf(options.smp > 1)('a reader that does not read holds the guest for as long as it likes', async () => {
    const { guest } = machine;
    const ptmon = startPtmon('watch', ...args(), '--json');
    await ptmon.lines(2);
    ptmon.child.stdout?.pause();
    let isHeld = true;
    const work = guest.workload.command('spin fault 60', { timeoutMs: 110_000 }).then(() => (isHeld = false));
    // The signs of life of so long are more than the plugin keeps unread.
    await sleep(35_000);
    expect(isHeld).toBe(true);
    ptmon.child.stdout?.resume();
    await work;
    ptmon.child.kill('SIGINT');
    expect(await ptmon.ended).toBe(130);
  });

  test('a ptmon that is stopped lets go of the guest after two seconds', async () => {
    const { guest } = machine;
    const ptmon = startPtmon('watch', ...args(), '--json');
    // The header, and the watch.
    await ptmon.lines(2);
    const events = guest.workload.command('spin fault 1');
    await ptmon.lines(100);
    await events;
    ptmon.child.kill('SIGSTOP');
    await guest.workload.command('spin fault 40');
    ptmon.child.kill('SIGCONT');
    expect(await ptmon.ended).toBe(3);
    expect(ptmon.stderr).toContain('the plugin detaches when QEMU ends');
  });

  const va = place();
  let isOver = false;
  let busy: Promise<void> | undefined;
  const pages = 512;
  let tables: readonly number[] | undefined;
  const findTables = async () => {
    await using session = await openSession({ driver: await openQemuPlugin(connect()) });
    await session.watch({ root: machine.root, va, byteLength: pages * 4096 });
    return session.monitor.dump().tables.map(({ pa }) => pa / 4096);
  };
  const contract = driverContract({
    open: async () => {
      if (busy === undefined) {
        await machine.guest.workload.command(`map ${pages} small at=${hex(va)}`);
        busy = (async () => {
          while (!isOver)
            for (const command of ['touch', 'dontneed'])
              await machine.guest.workload.command(`${command} ${hex(va)} ${pages}`);
        })();
      }
      tables ??= await findTables();
      const found = tables;
      const driver = await openQemuPlugin({ ...connect(), compareMs: 1 });
      return { driver, tables: () => found, hole: 0x1_0000_0000 };
    },
    deterministic: false,
    endless: true,
  });
  test.for(contract)('the driver contract: $name', async ({ run }, { skip }) => {
    const result = await run();
    if (result.skipped) skip(result.reason);
  });
  afterAll(async () => {
    isOver = true;
    await busy;
  });
});

test.skipIf(!isHere)(
  'P3 a plugin of QEMU sees the page tables in a second block of RAM, too',
  { timeout: 150_000 },
  async () => {
    const folder = temporaryFolder();
    const { socket, arguments: plugin } = await newPlugin(folder);
    const more = `memory-backend-file,id=more,size=256M,mem-path=${join(folder, 'more')},share=on`;
    const machine = await WatchedGuest.boot({
      // Linux takes new tables from there first.
      append: 'memhp_default_state=online_kernel',
      extraArguments: ['-m', '256M,slots=1,maxmem=1G', '-object', more, '-device', 'pc-dimm,memdev=more', ...plugin],
    });
    onTestFinished(() => machine.stop());
    const va = place();
    const at = hex(va);
    const { events } = await expectAll(
      machine,
      { qmp: machine.guest.qmpPath, plugin: socket, code: 'kernel' },
      {
        ranges: [{ va, pages: 512 * 4 }],
        commands: [`map 2048 small at=${at}`, `touch ${at} 2048`, `dontneed ${at} 2048`, `touch ${at} 8`],
      },
    );
    expect(Math.max(...events.map(({ cause }) => cause?.entryPa ?? 0))).toBeGreaterThan(2 ** 28);
  },
);

describe.skipIf(!isHere)('two vCPUs that count what they write', { timeout: 120_000 }, () => {
  const ENTRY = ROOT + 3 * 0x1000 + (FLIPPED >> 12) * 8;

  async function bootRace() {
    const folder = temporaryFolder();
    const { socket, arguments: more } = await newPlugin(folder);
    const ram = join(folder, 'ram');
    const code = readFileSync(assembleAt(join(import.meta.dirname, 'probe/race.S'), RACE_CODE, folder));
    const guest = await startFirmware('unix', [
      ...['-bios', raceFirmware(code), '-cpu', 'max,la57=off', '-smp', '2'],
      ...['-object', `memory-backend-file,id=mem,size=16M,mem-path=${ram},share=on`, '-machine', 'memory-backend=mem'],
      ...['-qmp', `unix:${join(folder, 'other-qmp')},server=on,wait=off`],
      ...more,
    ]);
    const fd = openSync(ram, 'r+');
    onTestFinished(() => closeSync(fd));
    /** Writes RAM from outside, as a device does: without a store of the guest. */
    const put = (pa: number, value: bigint | number) => {
      const bytes = Buffer.alloc(8);
      bytes.writeBigUInt64LE(BigInt(value));
      writeSync(fd, bytes, 0, typeof value === 'bigint' ? 8 : 4, pa);
    };
    const until = async (pa: number, value: number) => {
      const bytes = Buffer.alloc(4);
      while (readSync(fd, bytes, 0, 4, pa) === 4 && bytes.readUInt32LE() !== value) await sleep(2);
    };
    const entryAt = (pa: number) => {
      const bytes = Buffer.alloc(8);
      readSync(fd, bytes, 0, 8, pa);
      return bytes.readBigUInt64LE();
    };
    const other = await QmpClient.connect(join(folder, 'other-qmp'));
    onTestFinished(() => other.close());
    await other.execute('cont');
    put(0x600, 1);
    await until(0x604, 2);
    /** Each vCPU begins to write an entry, so often. */
    const write = (rounds: number, entries: readonly number[]) => {
      put(0x60c, rounds);
      for (const [vcpu, pa] of entries.entries()) {
        put(0x610 + 8 * vcpu, BigInt(pa));
        put(0x630 + 8 * vcpu, 0x1_0000_0003n + BigInt(vcpu) * 0x20_0000_0000n);
      }
      put(0x608, 1);
    };
    return { qmp: guest.qmp, other, write, plugin: socket, put, until, entryAt };
  }

  /** @returns how many changes there were, and what was seen of them */
  async function count({ entries, isLocked, rounds }: { entries: number; isLocked: boolean; rounds: number }) {
    const { qmp, plugin, put, until, write } = await bootRace();
    put(0x650, isLocked ? 1 : 0);
    const va = BigInt(FLIPPED);
    const { events, statistics } = await watchWhile(
      { qmp, plugin },
      [{ root: BigInt(ROOT), va, pages: entries }],
      async () => {
        write(
          rounds,
          [0, 1].map((vcpu) => ENTRY + (vcpu % entries) * 8),
        );
        await until(0x658, 2);
      },
    );
    const seen = events.filter(({ kind }) => kind === 'page-in').length;
    console.log(
      `${entries} entries, lock ${isLocked}: ${seen} of ${2 * rounds} changes, lost ${JSON.stringify(statistics.lost)}`,
    );
    return { seen, events, lost: statistics.lost };
  }

  test('a guest that ends: its last writes are processed, too', async () => {
    const { qmp, other, plugin, write, entryAt } = await bootRace();
    const session = await openSession({ driver: await openQemuPlugin({ qmp, plugin }) });
    await session.watch({ root: BigInt(ROOT), va: BigInt(FLIPPED), byteLength: 2 * 4096 });
    const last = new Map<bigint, number>();
    let events = 0;
    write(0x7fff_ffff, [ENTRY, ENTRY + 8]);
    for await (const event of session) {
      if (event.kind === 'page-in') last.set(event.va, event.pa);
      if (++events === 5000) await other.execute('quit');
    }
    for (const page of [0, 1])
      expect(last.get(BigInt(FLIPPED + page * 4096))).toBe(Number(entryAt(ENTRY + page * 8) & 0x000f_ffff_ffff_f000n));
    expect(session.statistics().lost).toEqual({ known: 0, unknown: false });
  });

  test.each([false, true])(
    'an entry that changes without a store is reported, and the loss is unknown; a guest that writes others all the time: %s',
    async (isBusy) => {
      const { qmp, plugin, put, write } = await bootRace();
      await using session = await openSession({ driver: await openQemuPlugin({ qmp, plugin }) });
      await session.watch({ root: BigInt(ROOT), va: BigInt(FLIPPED), byteLength: 3 * 4096 });
      if (isBusy) write(0x7fff_ffff, [ENTRY + 8, ENTRY + 16]);
      const events = session[Symbol.asyncIterator]();
      // The records of a while wait already.
      for (let count = 0; isBusy && count < 2000; count++) await events.next();
      put(ENTRY, 0x12_3000_0003n);
      for (let event; event?.kind !== 'page-in' || event.va !== BigInt(FLIPPED); ) event = (await events.next()).value;
      const reason = expect.stringContaining('without a store that the plugin sees') as string;
      expect(session.statistics().lost).toEqual({ known: 0, unknown: true, reasons: [reason] });
    },
  );

  test('each entries of its own: every change is seen', async () => {
    const { seen, lost } = await count({ entries: 2, isLocked: false, rounds: 20_000 });
    expect(seen).toBe(40_000);
    expect(lost).toEqual({ known: 0, unknown: false });
  });

  test('the same entry under a lock, as Linux does: every change is seen', async () => {
    const { seen, lost } = await count({ entries: 1, isLocked: true, rounds: 20_000 });
    expect(seen).toBe(40_000);
    expect(lost).toEqual({ known: 0, unknown: false });
  });

  test('the same entry without a lock: what was hidden by the other vCPU is not denied, and nothing is invented', async () => {
    const { seen, events, lost } = await count({ entries: 1, isLocked: false, rounds: 20_000 });
    expect(seen).toBeLessThanOrEqual(40_000);
    if (seen < 40_000)
      expect(lost).toEqual({ known: 0, unknown: true, reasons: ['two vCPUs wrote the same entry at the same moment'] });
    // Each vCPU's values come in its order: no value twice.
    for (const vcpu of [0, 1]) {
      const values = events.flatMap((event) =>
        event.kind === 'page-in' && Math.floor(event.pa / 0x20_0000_0000) === vcpu ? [event.pa] : [],
      );
      expect(values).toEqual([...new Set(values)].sort((a, b) => a - b));
    }
  });
});

describe('of the Linux kernel', () => {
  test.skipIf(!isHere)('stores to the stack are left out, those through r12, whose code is alike, are not', () => {
    const program = join(temporaryFolder(), 'instructions');
    const source = join(import.meta.dirname, 'probe/instructions.c');
    const flags = ['-O2', '-static', '-Wno-attribute-alias', '-Wl,--unresolved-symbols=ignore-all'];
    execFileSync('gcc', [...flags, '-o', program, source]);
    const instructions = {
      'mov %rax, (%rsp)': '48890424',
      'mov %rax, 8(%rsp)': '4889442408',
      'push %rax': '50',
      'rep stosb': 'f3aa',
      'mov %rax, %gs:(%rax)': '65488900',
      'mov %rax, (%r12)': '49890424',
      'mov %r8, 8(%r12)': '4d89442408',
      'movq $0, (%r12)': '49c7042400000000',
      'mov %rax, (%rsp,%r12)': '4a890424',
      'mov %rax, (%rdi)': '488907',
    };
    const printed = execFileSync(program, Object.values(instructions), { encoding: 'utf8' }).trim().split('\n');
    const left = Object.keys(instructions).filter((_, index) => printed[index] === 'no');
    expect(left).toEqual(Object.keys(instructions).slice(0, 5));
  });
});

describe('a socket that is not the plugin', () => {
  test.skipIf(!isHere)('is named, with what to do', async () => {
    const guest = await startFirmware();
    const nowhere = openQemuPlugin({ qmp: guest.qmp, plugin: '/nonexistent/socket' });
    await expect(nowhere).rejects.toMatchObject({ code: 'source-unavailable' });
    const path = join(temporaryFolder(), 'other');
    const server = createServer((peer) => peer.end(Buffer.alloc(64, 0x41))).listen(path);
    onTestFinished(() => void server.close());
    const other = openQemuPlugin({ qmp: guest.qmp, plugin: path });
    await expect(other).rejects.toThrow("is not the socket of ptmon's QEMU plugin");
  });
});
