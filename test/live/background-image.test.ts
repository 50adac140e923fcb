/** `--consistent` on a real guest: what is read is of one moment, and the guest runs on meanwhile. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { pagesOf } from '../../src/drivers/qemu/launch/workload-report.ts';
import { saveBackgroundImage } from '../../src/drivers/qemu/index.ts';
import { QmpClient } from '../../src/drivers/qemu/qmp/client.ts';
import { readRunState } from '../../src/drivers/qemu/qmp/run-state.ts';
import { openDump } from '../../src/drivers/dump/index.ts';
import { parse, run } from '../cli/run.ts';
import { temporaryFolder } from '../drivers/qemu/transport/peer.ts';
import { leftOut } from './real-guest.ts';
import { WatchedGuest } from './watched-guest.ts';

const hex = (va: bigint) => `0x${va.toString(16)}`;

const isLeftOut = leftOut('test/live/background-image, an image of a real guest that runs');

describe.skipIf(isLeftOut)('an image of a real guest that runs', { timeout: 180_000 }, () => {
  let watched: WatchedGuest;

  beforeAll(async () => {
    watched = await WatchedGuest.boot({ cpu: 'max,la57=off' });
  }, 180_000);

  afterAll(() => watched?.stop());

  test('is of one moment, although the guest changes pages meanwhile, and the guest runs on', async () => {
    const { workload, qmpPath } = watched.guest;
    const [still, moving] = [0x1000_0000_0000n, 0x2000_0000_0000n];
    await workload.command(`map 8 small at=${hex(still)}`);
    const reports = await workload.command(`touch ${hex(still)} 8`);
    const frames = reports.flatMap((report) => (report.kind === 'pages' ? pagesOf(report).map(({ pfn }) => pfn) : []));
    expect(frames).toHaveLength(8);
    const changes = workload.command(`loop fault 2000 pages=4 at=${hex(moving)}`, { timeoutMs: 150_000 });
    const image = await saveBackgroundImage({ qmp: qmpPath });
    const dump = await openDump(image.path);
    try {
      expect(image.stoppedMs).toBeGreaterThanOrEqual(0);
      /** The frames behind eight pages, by the page tables of the image. */
      const framesAt = async (va: bigint) => {
        const { stdout } = await run([
          ...['map', image.path, '--comm', 'workload', '--runs', '--json', '--va', `${hex(va)}+32K`],
        ]);
        return parse(stdout).flatMap((range) => (range['kind'] === 'range' ? [range] : []));
      };
      const stamp = (pa: number) => Buffer.from(dump.readBytes(pa, 8)!).readBigUInt64LE();
      const seen = new Map<bigint, number>();
      for (const va of [still, moving]) {
        for (const range of await framesAt(va)) {
          const [first, pa, pages] = [BigInt(range['va'] as string), Number(range['pa']), Number(range['pages'])];
          for (let page = 0; page < pages; page++) seen.set(first + BigInt(page) * 4096n, pa + page * 4096);
        }
      }
      expect(frames.map((_, page) => seen.get(still + BigInt(page) * 4096n)! / 4096)).toEqual(frames);
      // The workload writes its address into each page; a page that has just come has zeros.
      for (const [va, pa] of seen) expect([va, 0n]).toContain(stamp(pa));
    } finally {
      await dump.close();
      image.remove();
    }
    await changes;
    const qmp = await QmpClient.connect(qmpPath);
    expect(await readRunState(qmp)).toBe('running');
    const capabilities = await qmp.execute('query-migrate-capabilities');
    expect(capabilities).toContainEqual({ capability: 'background-snapshot', state: false });
    await qmp.close();
  });

  test('that is aborted leaves no memory of the guest write-protected', async () => {
    const { qmpPath, pid } = watched.guest;
    // proc(5), VmFlags: `uw` is an area that a userfaultfd write-protects. QEMU may keep a userfaultfd that has none.
    const isProtected = () => /^VmFlags:.* uw\b/m.test(readFileSync(`/proc/${pid}/smaps`, 'utf8'));
    const stop = new AbortController();
    const image = saveBackgroundImage({ qmp: qmpPath, signal: stop.signal });
    await expect.poll(isProtected, { timeout: 60_000, interval: 1 }).toBe(true);
    stop.abort(new Error('enough'));
    await expect(image).rejects.toThrow('enough');
    expect(isProtected()).toBe(false);
    await watched.guest.workload.command('map 1 small at=0x300000000000');
  });

  test('is read by ps and dump', async () => {
    const live = ['--qmp', watched.guest.qmpPath, '--consistent'];
    const ps = await run(['ps', ...live, '--json']);
    expect(ps.stderr).toMatch(/^an image of the running guest: .*; QEMU had the guest stopped for \d+ ms$/m);
    expect(ps.code).toBe(0);
    expect(parse(ps.stdout)).toContainEqual(expect.objectContaining({ command: 'workload' }));
    const folder = join(temporaryFolder(), 'dumped');
    const dump = await run(['dump', ...live, '--comm', 'workload', '--map', 'stack', '-o', folder]);
    expect(dump).toMatchObject({ code: 0 });
    const [name] = readdirSync(folder).filter((each) => each.endsWith('.bin'));
    expect(readFileSync(join(folder, name!)).some((byte) => byte !== 0)).toBe(true);
  });
});
