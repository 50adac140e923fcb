/** Sampling with proof, against a guest that counts its own writes to its tables. */
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { openQemuSampling } from '../../src/drivers/qemu/index.ts';
import { QmpClient } from '../../src/drivers/qemu/qmp/client.ts';
import { openSession } from '../../src/session/session.ts';
import { temporaryFolder } from '../drivers/qemu/transport/peer.ts';
import { type FirmwareGuest, hasQemu, startFirmware } from './firmware-guest.ts';
import { writeMillionPages } from './million-pages.ts';
import { countingFirmware, pagingFirmware } from './paging-firmware.ts';
import { COUNT, DONE, ROOT } from './paging-rom.ts';
import { countWindows, whyNoProof } from './proved-windows.ts';
import { startPtmon, startPtmonWith } from './ptmon-process.ts';

const what = 'test/live/proof, sampling with proof';
const isHere = hasQemu(what);
const missing = isHere ? whyNoProof() : undefined;
if (missing !== undefined) process.stderr.write(`LEFT OUT: ${what}: ${missing}\n`);

const NOBODY = 65534;
const BACKEND = ['-machine', 'memory-backend=mem'];
const WATCH = ['--mode', 'sample', '--root', `0x${ROOT.toString(16)}`, '--va', '0x0+1M', '--interval', '10', '--json'];

function memfd(more = ''): string[] {
  return ['-object', `memory-backend-memfd,id=mem,size=16M,share=on${more}`, ...BACKEND];
}

function ramFile(folder: string, share: 'on' | 'off'): string[] {
  const path = join(folder, `ptmon-proof-${process.pid}`);
  onTestFinished(() => rmSync(path, { force: true }));
  return ['-object', `memory-backend-file,id=mem,size=16M,mem-path=${path},share=${share}`, ...BACKEND];
}

function nodes(): string[] {
  const backends = ['memory-backend-ram,id=near,size=8M', 'memory-backend-memfd,id=far,size=8M'];
  return [
    ...backends.flatMap((backend) => ['-object', backend]),
    '-numa',
    'node,memdev=near',
    '-numa',
    'node,memdev=far',
  ];
}

/** The guest runs when this resolves, and counts. */
async function start(firmware: string, memory: readonly string[], wrapper?: readonly string[]): Promise<FirmwareGuest> {
  // Another user must be able to read it.
  chmodSync(dirname(firmware), 0o755);
  const guest = await startFirmware('unix', ['-bios', firmware, ...memory], wrapper);
  const qmp = await QmpClient.connect(guest.qmp);
  await qmp.execute('cont');
  const countAt = (at: number) => qmp.humanMonitor(`xp /1xg 0x${at.toString(16)}`);
  const isCounting = async () => [await countAt(COUNT), await countAt(DONE)].some((count) => !/: 0x0+\s*$/.test(count));
  await expect.poll(isCounting, { timeout: 20_000 }).toBe(true);
  await qmp.close();
  return guest;
}

/** What ptmon must leave as it was: descriptors, mappings, and whether anybody traces it. */
function stateOf(pid: number): unknown {
  const descriptors = readdirSync(`/proc/${pid}/fd`).map((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`).replace(/\d+/g, '');
    } catch {
      return 'gone';
    }
  });
  const mappings = readFileSync(`/proc/${pid}/smaps`, 'utf8').match(/^VmFlags:.*\b(uw|um)\b.*$/gm);
  const tracer = /^TracerPid:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return { userfaultfds: descriptors.filter((name) => name.includes('userfaultfd')), mappings, tracer };
}

const UNTOUCHED = { userfaultfds: [], mappings: null, tracer: '0' };

describe.skipIf(!isHere || missing !== undefined)('sampling with proof', { timeout: 120_000 }, () => {
  test.for<[kind: string, memory: () => readonly string[], windows: number]>([
    ['a memfd', memfd, 10_000],
    ['a file of shared memory', () => ramFile('/dev/shm', 'on'), 400],
    ['a file on a disk', () => ramFile(temporaryFolder(), 'on'), 400],
    ['private memory', () => [], 400],
    ['a private file', () => ramFile(temporaryFolder(), 'off'), 400],
    ['two NUMA nodes', nodes, 400],
    ['huge pages', () => memfd(',hugetlb=on'), 400],
  ])('in %s it is never said that nothing was written when the guest wrote', async ([kind, memory, windows]) => {
    const isHuge = kind === 'huge pages';
    if (isHuge && !reserveHugePages(8)) return;
    // One huge page holds all four tables: to leave it alone for a whole window, the guest must wait longer.
    const guest = await start(countingFirmware(isHuge ? 21 : undefined), memory());
    const counts = await countWindows(guest.qmp, windows);
    console.log(`${kind}: ${JSON.stringify(counts)}`);
    expect(counts.false).toBe(0);
    expect(counts.written).toBeGreaterThan(windows / 100);
    expect(counts.proved).toBeGreaterThan(windows / 100);
  });

  test('a watch of tables that nobody writes has lost nothing, and one of others says for how long that is unknown', async () => {
    const idle = await start(pagingFirmware(), memfd());
    const proved = startPtmon('watch', '--qmp', idle.qmp, ...WATCH, '--duration', '1');
    expect(await proved.ended, proved.stderr).toBe(0);
    expect(proved.stderr).toContain('With proof: ');
    expect(proved.lastLine()).toMatchObject({
      lost: { known: 0, unknown: false, windows: { unknown: 0, unknownMs: 0 } },
    });
    const { windows } = (proved.lastLine() as { lost: { windows: { proved: number } } }).lost;
    expect(windows.proved).toBeGreaterThan(5);

    const busy = await start(countingFirmware(), memfd());
    const unknown = startPtmon('watch', '--qmp', busy.qmp, ...WATCH, '--duration', '1');
    expect(await unknown.ended, unknown.stderr).toBe(0);
    expect(unknown.lastLine()).toMatchObject({ lost: { known: 0, unknown: true, reasons: ['sampled'] } });
    const { unknownMs, longestMs } = (unknown.lastLine() as { lost: { windows: Record<string, number> } }).lost.windows;
    expect(unknownMs).toBeGreaterThan(0);
    expect(longestMs).toBeLessThanOrEqual(unknownMs!);
  });

  test('a table that the guest gives away is not taken for unwritten', async () => {
    const path = join('/dev/shm', `ptmon-proof-${process.pid}`);
    const guest = await start(pagingFirmware(), ramFile('/dev/shm', 'on'));
    const watch = startPtmon('watch', '--qmp', guest.qmp, ...WATCH, '--count', '1', '--duration', '20');
    await expect.poll(() => watch.stderr, { timeout: 20_000 }).toContain('With proof: ');
    // As QEMU does for a balloon.
    const punch = ['--punch-hole', '--offset', String(ROOT), '--length', '4096', path];
    expect(spawnSync('fallocate', punch).status).toBe(0);
    expect(await watch.ended, watch.stderr).toBe(0);
    expect(watch.lastLine()).toMatchObject({ counts: { 'page-out': expect.any(Number) }, lost: { unknown: true } });
    expect(watch.stdout).toContain('"kind":"page-out"');
  });

  test('a sample of a million pages that nobody changes costs a tenth of one without proof', async () => {
    const path = join('/dev/shm', `ptmon-proof-${process.pid}`);
    const guest = await start(pagingFirmware(), [
      ...ramFile('/dev/shm', 'on').map((word) => word.replace('size=16M', 'size=1G,prealloc=on')),
      ...['-m', '1G'],
    ]);
    const root = writeMillionPages(path, 0x1000, 0x3_f000 - 0x1000);
    const proved = await sampleCost(guest, { root, proof: true });
    const plain = await sampleCost(guest, { root, proof: false });
    console.log(`a sample of a million pages: ${proved.toFixed(2)} ms, ${plain.toFixed(2)} ms without proof`);
    expect(proved).toBeLessThan(plain / 10);
  });

  test('a record of it says the same to `ptmon stat`', async () => {
    const guest = await start(pagingFirmware(), memfd());
    const trace = join(temporaryFolder(), 'trace');
    const watch = startPtmon('watch', '--qmp', guest.qmp, ...WATCH, '--duration', '1', '--record', trace);
    expect(await watch.ended, watch.stderr).toBe(0);
    const stat = startPtmon('stat', trace);
    await stat.ended;
    expect(stat.stdout).toMatch(/^no events lost$/m);
  });

  test('QEMU is left as it was, however the watch ends', async () => {
    const guest = await start(pagingFirmware(), memfd());
    const pid = guest.process.pid!;
    expect(stateOf(pid)).toEqual(UNTOUCHED);
    for (let round = 0; round < 12; round++) {
      const watch = startPtmonWith({ detached: true }, 'watch', '--qmp', guest.qmp, ...WATCH);
      // From the middle of its start on.
      if (round % 3 === 0) await expect.poll(() => watch.stderr, { timeout: 20_000 }).toContain('With proof: ');
      else await sleep(200 + 60 * round);
      if (round % 3 === 0)
        expect(stateOf(pid)).toMatchObject({ userfaultfds: [], mappings: [expect.anything()], tracer: '0' });
      process.kill(-watch.child.pid!, 'SIGKILL');
      await watch.ended;
      await expect.poll(() => helpersOf(pid), { timeout: 5000 }).toEqual([]);
      await expect.poll(() => stateOf(pid), { timeout: 5000 }).toEqual(UNTOUCHED);
    }
    const watch = startPtmon('watch', '--qmp', guest.qmp, ...WATCH);
    await expect.poll(() => watch.stderr, { timeout: 20_000 }).toContain('With proof: ');
    for (const helper of helpersOf(pid)) process.kill(helper, 'SIGKILL');
    await expect.poll(() => watch.stderr, { timeout: 5000 }).toContain('No proof any more: ');
    expect(stateOf(pid)).toEqual(UNTOUCHED);
    watch.child.kill('SIGINT');
    expect(await watch.ended).toBe(130);
    expect(watch.lastLine()).toMatchObject({ lost: { unknown: true } });
  });

  test.each([
    ["another user's QEMU", ['setpriv', '--reuid', String(NOBODY), '--clear-groups'], {}],
    ["a user's own QEMU, without root", ['setpriv', '--reuid', String(NOBODY), '--clear-groups'], { uid: NOBODY }],
    ['a QEMU in another PID namespace', ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc'], {}],
  ] as const)('%s is tracked', async (_, wrapper, user) => {
    const guest = await start(pagingFirmware(), memfd(), wrapper);
    const watch = startPtmonWith(user, 'watch', '--qmp', guest.qmp, ...WATCH, '--duration', '1');
    expect(await watch.ended, watch.stderr).toBe(0);
    expect(watch.stderr).toContain('With proof: ');
    expect(watch.lastLine()).toMatchObject({ lost: { known: 0, unknown: false } });
  });

  test('a QEMU in its own sandbox is tracked, and one under a filter that would end it is left alone', async () => {
    const sandboxed = await start(pagingFirmware(), [...memfd(), '-sandbox', 'on,spawn=deny,resourcecontrol=deny']);
    const proved = startPtmon('watch', '--qmp', sandboxed.qmp, ...WATCH, '--duration', '1');
    expect(await proved.ended, proved.stderr).toBe(0);
    expect(proved.stderr).toContain('With proof: ');

    const forbid = join(temporaryFolder(), 'forbid-userfaultfd');
    const source = join(import.meta.dirname, 'forbid-userfaultfd.c');
    const compiled = spawnSync('gcc', ['-o', forbid, source], { encoding: 'utf8' });
    expect(compiled.status, compiled.stderr).toBe(0);
    const guest = await start(pagingFirmware(), memfd(), [forbid]);
    const watch = startPtmon('watch', '--qmp', guest.qmp, ...WATCH, '--duration', '1');
    expect(await watch.ended, watch.stderr).toBe(0);
    expect(watch.stderr).toMatch(
      /Without proof that nothing was missed between samples: QEMU runs under a seccomp filter/,
    );
    expect(stateOf(guest.process.pid!)).toEqual(UNTOUCHED);
  });

  test('a second watch of the same QEMU, and one of a QEMU that is traced, say why there is no proof', async () => {
    const second = join(temporaryFolder(), 'second');
    const guest = await start(pagingFirmware(), [...memfd(), '-qmp', `unix:${second},server=on,wait=off`]);
    const first = startPtmon('watch', '--qmp', guest.qmp, ...WATCH);
    await expect.poll(() => first.stderr, { timeout: 20_000 }).toContain('With proof: ');
    const other = startPtmon('watch', '--qmp', second, ...WATCH, '--duration', '1');
    expect(await other.ended, other.stderr).toBe(0);
    expect(other.stderr).toMatch(/Without proof .*: writes to this memory are tracked already, by another ptmon/);
    first.child.kill('SIGINT');
    expect(await first.ended).toBe(130);

    const tracer = spawn('strace', ['-qq', '-o', '/dev/null', '-p', String(guest.process.pid)], { stdio: 'ignore' });
    onTestFinished(() => void tracer.kill());
    const isThere = await new Promise((resolve) => {
      tracer.once('spawn', () => resolve(true)).once('error', () => resolve(false));
    });
    if (isThere !== true) return void process.stderr.write(`LEFT OUT: ${what}, of a QEMU that is traced: no strace\n`);
    await expect.poll(() => stateOf(guest.process.pid!), { timeout: 20_000 }).not.toEqual(UNTOUCHED);
    const traced = startPtmon('watch', '--qmp', second, ...WATCH, '--duration', '1');
    expect(await traced.ended, traced.stderr).toBe(0);
    expect(traced.stderr).toContain(`: process ${tracer.pid} traces QEMU (gdb, strace), and only one process can`);
  });

  test.each<[string, readonly string[], Parameters<typeof startPtmonWith>[0], RegExp]>([
    [
      'without the right to trace QEMU',
      [],
      { uid: NOBODY },
      /Without proof that nothing was missed between samples: .*run as/,
    ],
    [
      'without a compiler',
      [],
      { env: { ...process.env, PATH: '/nowhere' } },
      /there is no C compiler \(cc\): install one \(apt-get install gcc libc6-dev\)/,
    ],
    ['where it is not wanted', ['--no-proof'], {}, /missed\. Memory: /],
  ])('%s the watch samples, and says why there is no proof', async (_, more, options, why) => {
    const guest = await start(pagingFirmware(), ramFile('/dev/shm', 'on'));
    chmodSync(guest.qmp, 0o777);
    chmodSync(dirname(guest.qmp), 0o755);
    chmodSync(join('/dev/shm', `ptmon-proof-${process.pid}`), 0o644);
    const watch = startPtmonWith(options, 'watch', '--qmp', guest.qmp, ...WATCH, ...more, '--duration', '1');
    expect(await watch.ended, watch.stderr).toBe(0);
    expect(watch.stderr).toMatch(why);
    expect(stateOf(guest.process.pid!)).toEqual(UNTOUCHED);
    expect(watch.lastLine()).toMatchObject({ lost: { unknown: true, windows: { proved: 0 } } });
  });

  test('doctor says whether there is proof', async () => {
    const guest = await start(pagingFirmware(), memfd());
    const doctor = startPtmon('doctor', '--qmp', guest.qmp);
    await doctor.ended;
    expect(doctor.stdout).toMatch(/^ok +proof +this host's kernel notes writes/m);
    expect(stateOf(guest.process.pid!)).toEqual(UNTOUCHED);
  });
});

/** @returns whether the host has so many pages of 2 MiB to spare; they are given back when the test ends */
function reserveHugePages(count: number): boolean {
  const path = '/proc/sys/vm/nr_hugepages';
  const before = readFileSync(path, 'utf8');
  writeFileSync(path, String(Number(before) + count));
  onTestFinished(() => writeFileSync(path, before));
  const isReserved = Number(readFileSync(path, 'utf8')) >= Number(before) + count;
  if (!isReserved) process.stderr.write(`LEFT OUT: ${what}, of huge pages: this host has none to spare\n`);
  return isReserved;
}

/** The processes that note writes to a QEMU's memory. */
function helpersOf(pid: number): number[] {
  return readdirSync('/proc').flatMap((entry) => {
    try {
      const [program = '', argument] = readFileSync(`/proc/${entry}/cmdline`, 'utf8').split('\0');
      return program.endsWith('/written-pages') && argument === String(pid) ? [Number(entry)] : [];
    } catch {
      return [];
    }
  });
}

/** Milliseconds of processor time a sample takes, of ours and of the process that asks for written pages: the least of eight means. */
async function sampleCost(guest: FirmwareGuest, { root, proof }: { root: number; proof: boolean }): Promise<number> {
  const enough = new AbortController();
  const driver = await openQemuSampling({ qmp: guest.qmp, proof, intervalMs: 5, minIntervalMs: 5 });
  const helpers = helpersOf(guest.process.pid!);
  expect(helpers).toHaveLength(proof ? 1 : 0);
  const used = () =>
    helpers.reduce(
      (sum, helper) => sum + cpuMsOf(helper),
      (process.cpuUsage().user + process.cpuUsage().system) / 1000,
    );
  const costs: number[] = [];
  let [samples, before] = [0, 0];
  const onBatch = () => {
    if (samples++ % 5 > 0) return;
    if (samples > 1) costs.push((used() - before) / 5);
    before = used();
    if (costs.length === 8) enough.abort();
  };
  const session = await openSession({ driver, signal: enough.signal, onBatch });
  await session.watch({ root, va: 0n, byteLength: 2 ** 32 });
  expect(session.monitor.pagedInEntries()).toBe(2 ** 20);
  const { lost } = await session.run();
  expect(lost).toMatchObject({ known: 0, unknown: !proof });
  return Math.min(...costs);
}

/** Processor time that a process has used: proc(5), /proc/PID/schedstat, of its one thread. */
function cpuMsOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1e6;
}
