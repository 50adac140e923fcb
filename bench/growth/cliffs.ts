/**
 * Work that must not grow with the square of its size. Each row sets up `n` of something, untimed, and then does one call or more for
 * each of them, timed. A row checks what it has done, so that no call can be left out.
 */
import { vaOf } from '../../src/core/address/va.ts';
import { PageTableMonitor } from '../../src/core/monitor/page-table-monitor.ts';
import type { MonitorOptions } from '../../src/core/monitor/api.ts';
import type { MonitorEvent } from '../../src/core/monitor/events.ts';
import { mustBe } from '../rows/work.ts';
import { GrowthGuest, PAGE, ROOT } from './guest.ts';

export interface Cliff {
  readonly name: string;
  readonly title: string;
  /** The smallest of the three sizes. */
  readonly n: number;
  /** Sets up, and returns what is timed. */
  readonly begin: (n: number) => () => void;
}

function monitorOf(guest: GrowthGuest, options: Partial<MonitorOptions> = {}): PageTableMonitor {
  return new PageTableMonitor({ memory: guest, protection: guest, paging: { mode: '4-level' }, ...options });
}

const pagesOf = (events: readonly MonitorEvent[]) =>
  events.reduce((sum, { kind, pages }) => sum + (kind === 'page-out' ? pages : 0), 0);
const va = (page: number) => vaOf(page, 0);

/** Every second page of a range of 2n. */
function punch(n: number, call: 'unmonitor' | 'unmonitorByForce'): () => void {
  const monitor = monitorOf(new GrowthGuest());
  monitor.monitorRange({ root: ROOT, va: 0, byteLength: 2 * n * PAGE });
  return () => {
    for (let page = 0; page < n; page++) monitor[call]({ root: ROOT, va: va(2 * page) });
    mustBe('ranges', monitor.dump().ranges.length, n);
  };
}

/** n ranges, each inside the one before, with a tag for each where that is asked. */
function nested(
  n: number,
  order: 'outer' | 'inner',
  tagOf: (index: number) => { tag?: number } = () => ({}),
): () => void {
  const monitor = monitorOf(new GrowthGuest());
  const range = (index: number) => ({
    root: ROOT,
    va: va(index),
    byteLength: (2 * n - 2 * index) * PAGE,
    ...tagOf(index),
  });
  for (let index = 0; index < n; index++) monitor.monitorRange(range(index));
  return () => {
    let released = 0;
    for (let step = 0; step < n; step++) {
      if (monitor.unmonitorRange(range(order === 'outer' ? step : n - 1 - step))) released++;
    }
    mustBe('ranges released', released, n);
    mustBe('ranges left', monitor.dump().ranges.length, 0);
  };
}

/** n ranges of n pages, each a page after the one before, with a tag each. */
function staggered(n: number): () => void {
  const monitor = monitorOf(new GrowthGuest());
  const range = (index: number) => ({ root: ROOT, va: va(index), byteLength: n * PAGE, tag: index });
  return () => {
    for (let index = 0; index < n; index++) monitor.monitorRange(range(index));
    mustBe('tags of a page', monitor.state({ root: ROOT, va: va(n - 1) })!.tags.length, n);
    for (let index = 0; index < n; index++) monitor.unmonitorRange(range(index));
    mustBe('ranges left', monitor.dump().ranges.length, 0);
  };
}

function views(n: number): () => void {
  const guest = new GrowthGuest();
  guest.map(0, 1);
  const monitor = monitorOf(guest);
  return () => {
    for (let view = 0; view < n; view++) monitor.monitor({ root: ROOT, va: 0, view });
    for (let view = 0; view < n; view++) monitor.unmonitorView(view);
    mustBe('tables', monitor.monitoredTables(), 0);
  };
}

/** n addresses that another vCPU's write has moved without an event. */
function unsettled(n: number): () => void {
  const guest = new GrowthGuest();
  guest.map(0, n);
  const monitor = monitorOf(guest);
  for (let page = 0; page < n; page++) monitor.monitor({ root: ROOT, va: va(page) });
  monitor.markDirtyEntry(ROOT, 0, 1);
  guest.write(ROOT, 0);
  monitor.monitor({ root: ROOT, va: va(2 ** 35 - 1) });
  return () => {
    let released = 0;
    for (let page = 0; page < n; page++) if (monitor.unmonitor({ root: ROOT, va: va(page) })) released++;
    mustBe('addresses released', released, n);
    mustBe('events', monitor.processDirtyEntries(1).length, 0);
  };
}

function vcpus(n: number): () => void {
  const guest = new GrowthGuest();
  const leaves = guest.map(0, n);
  const monitor = monitorOf(guest);
  for (let page = 0; page < n; page++) monitor.monitor({ root: ROOT, va: va(page) });
  for (let vcpu = 0; vcpu < n; vcpu++) monitor.markDirtyEntry(leaves[vcpu]!, 0, vcpu);
  for (let vcpu = 0; vcpu < n; vcpu++) guest.write(leaves[vcpu]!, 0);
  return () => {
    let events = 0;
    for (let vcpu = 0; vcpu < n; vcpu++) events += monitor.processDirtyEntries(vcpu).length;
    mustBe('events', events, n);
  };
}

/** All directory entries of a range of n pages cleared in one batch, while another vCPU has a write in flight. */
function directories(n: number): () => void {
  const guest = new GrowthGuest();
  guest.map(0, n);
  const monitor = monitorOf(guest);
  monitor.monitorRange({ root: ROOT, va: 0, byteLength: n * PAGE, runs: true });
  monitor.monitor({ root: ROOT, va: va(2 ** 35 - 1) });
  monitor.markDirtyEntry(ROOT + 8 * 255, 0, 1);
  for (const pa of guest.directories) {
    monitor.markDirty(pa, PAGE, 0, 0);
    guest.clear(pa);
  }
  return () => mustBe('pages', pagesOf(monitor.processDirtyEntries(0)), n);
}

/** n pages by 1 GiB leaves, gone by one write. */
function gigabytes(n: number): () => void {
  const guest = new GrowthGuest();
  guest.mapGigabytes(n);
  const monitor = monitorOf(guest);
  monitor.monitorRange({ root: ROOT, va: 0, byteLength: BigInt(n) << 30n, runs: true });
  return () => {
    monitor.markDirtyEntry(ROOT, 0, 0);
    guest.write(ROOT, 0);
    mustBe('pages', pagesOf(monitor.processDirtyEntries(0)), n * 2 ** 18);
  };
}

/** n leaves of 1 GiB that one vCPU has written, moved by the processing of another one, and then reported. */
function gigabytesInFlight(n: number): () => void {
  const guest = new GrowthGuest();
  const monitor = monitorOf(guest);
  monitor.monitorRange({ root: ROOT, va: 0, byteLength: BigInt(n) << 30n, runs: true });
  monitor.markDirtyEntry(ROOT, 0, 1);
  guest.mapGigabytes(n);
  monitor.markDirtyEntry(ROOT + 8, 0, 0);
  return () => {
    mustBe('events of the other', monitor.processDirtyEntries(0).length, 0);
    mustBe(
      'pages',
      monitor.processDirtyEntries(1).reduce((sum, event) => sum + ('pages' in event ? event.pages : 0), 0),
      n * 2 ** 18,
    );
  };
}

/** n leaves of 1 GiB in a range without runs: of the first pages an event each, of the others runs. */
function gigabytesByPage(n: number): () => void {
  const guest = new GrowthGuest();
  guest.mapGigabytes(n);
  const monitor = monitorOf(guest, { maxRangePages: 2 ** 16 });
  monitor.monitorRange({ root: ROOT, va: 0, byteLength: BigInt(n) << 30n });
  return () => {
    monitor.markDirtyEntry(ROOT, 0, 0);
    guest.write(ROOT, 0);
    mustBe('pages', pagesOf(monitor.processDirtyEntries(0)), n * 2 ** 18);
  };
}

export const CLIFFS: readonly Cliff[] = [
  {
    name: 'disjoint',
    title: '`unmonitorRange` of n disjoint ranges',
    n: 10_000,
    begin: (n) => {
      const monitor = monitorOf(new GrowthGuest());
      const range = (index: number) => ({ root: ROOT, va: va(2 * index), byteLength: PAGE });
      for (let index = 0; index < n; index++) monitor.monitorRange(range(index));
      return () => {
        let released = 0;
        for (let index = 0; index < n; index++) if (monitor.unmonitorRange(range(index))) released++;
        mustBe('ranges released', released, n);
      };
    },
  },
  { name: 'punch', title: 'n pages of a range, by `unmonitor`', n: 10_000, begin: (n) => punch(n, 'unmonitor') },
  {
    name: 'punch-force',
    title: 'n pages of a range, by `unmonitorByForce`',
    n: 8000,
    begin: (n) => punch(n, 'unmonitorByForce'),
  },
  {
    name: 'nested-outer',
    title: 'n nested ranges released, the outer ones first',
    n: 2000,
    begin: (n) => nested(n, 'outer'),
  },
  {
    name: 'nested-inner',
    title: 'n nested ranges released, the inner ones first',
    n: 2000,
    begin: (n) => nested(n, 'inner'),
  },
  {
    name: 'nested-tags',
    title: 'n nested ranges with a tag each, given and released, the outer ones first',
    n: 2000,
    begin: (n) => () => nested(n, 'outer', (tag) => ({ tag }))(),
  },
  {
    name: 'staggered-tags',
    title: 'n ranges of n pages, one page apart, with a tag each, given and released',
    n: 2000,
    begin: staggered,
  },
  {
    name: 'root-gone',
    title: '`rootGone` of n roots',
    n: 4000,
    begin: (n) => {
      const guest = new GrowthGuest();
      const roots = Array.from({ length: n }, () => guest.frame());
      const monitor = monitorOf(guest, { kinds: ['root-gone'] });
      for (const root of roots) monitor.monitor({ root, va: 0 });
      return () => {
        let events = 0;
        for (const root of roots) events += monitor.rootGone(root).length;
        mustBe('events', events, n);
      };
    },
  },
  {
    name: 'range-tags',
    title: 'n tags on a range of 512 pages, given and released',
    n: 8000,
    begin: (n) => {
      const monitor = monitorOf(new GrowthGuest());
      const range = (tag: number) => ({ root: ROOT, va: 0, byteLength: 512 * PAGE, tag });
      return () => {
        for (let tag = 0; tag < n; tag++) monitor.monitorRange(range(tag));
        for (let tag = 0; tag < n; tag++) monitor.unmonitorRange(range(tag));
        mustBe('ranges', monitor.dump().ranges.length, 0);
      };
    },
  },
  {
    name: 'tags',
    title: 'n tags on one address, given and released',
    n: 8000,
    begin: (n) => {
      const monitor = monitorOf(new GrowthGuest());
      return () => {
        for (let tag = 0; tag < n; tag++) monitor.monitor({ root: ROOT, va: 0, tag });
        for (let tag = 0; tag < n; tag++) monitor.unmonitor({ root: ROOT, va: 0, tag });
        mustBe('tables', monitor.monitoredTables(), 0);
      };
    },
  },
  { name: 'views', title: '`monitor` and `unmonitorView` in n views of one table', n: 4000, begin: views },
  { name: 'unsettled', title: 'n unsettled addresses unmonitored', n: 8000, begin: unsettled },
  { name: 'vcpus', title: 'n vCPUs with one mark each', n: 4000, begin: vcpus },
  {
    name: 'directories',
    title: 'all PDEs of n pages cleared while another vCPU is in flight',
    n: 2 ** 17,
    begin: directories,
  },
  { name: 'gigabytes', title: 'a range of n leaves of 1 GiB, gone by one write', n: 64, begin: gigabytes },
  { name: 'gigabytes-by-page', title: 'the same without `runs`', n: 64, begin: gigabytesByPage },
  {
    name: 'gigabytes-in-flight',
    title: 'n leaves of 1 GiB moved by another vCPU, then reported',
    n: 64,
    begin: gigabytesInFlight,
  },
];
