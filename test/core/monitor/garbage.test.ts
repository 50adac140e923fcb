/** What a monitor leaves behind while nothing that it holds changes in number: nothing. */
import process from 'node:process';
import { describe, expect, test } from 'vitest';
import { collectGarbage } from '../../../bench/garbage.ts';
import { A, D, P, PWU, Rig } from './rig.ts';

const PAGES = 1024;
const PAGE = 4096n;
const FAR = 0x40_0000_0000n;

/** A collected heap differs by some ten thousand bytes from one time to the next: code, and what the runner keeps. */
const NOTHING = 150_000;

/** 1,024 pages of one root, half of them watched singly and half by a range, some of them both. */
function watching() {
  const rig = new Rig();
  const root = rig.frame();
  for (let page = 0n; page < PAGES; page++) rig.build(root, page * PAGE, ((0x1000n + page) * PAGE) | PWU);
  for (let page = 0n; page < 600n; page++)
    rig.monitor.monitor({ root, va: page * PAGE + (page % 3n), tag: Number(page) });
  rig.monitor.monitorRange({ root, va: 512n * PAGE, byteLength: 512n * PAGE, tag: 'range', runs: true });
  const leaves = Array.from({ length: PAGES }, (_, page) => rig.entry(root, BigInt(page) * PAGE, 1));
  return { rig, root, leaves, directory: rig.entry(root, 0n, 2) };
}

/** Bytes that are live. Array buffers are let go of on another thread, which may be late: until two looks in a row say the same. */
function held(): number {
  for (let last = Infinity; ; ) {
    collectGarbage();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    const now = heapUsed + arrayBuffers;
    if (now > last - 10_000) return now;
    last = now;
  }
}

/**
 * Bytes that are live after `work` has been done again, beyond those before. What is left behind is so each time. Code is not: it is compiled on
 * other threads, which may be late on a busy machine, after the work that needs it.
 */
function growth(work: () => void): number {
  work();
  let least = Infinity;
  for (let time = 0; time < 3 && least >= NOTHING; time++) {
    const before = held();
    work();
    least = Math.min(least, held() - before);
  }
  return least;
}

describe('a steady run', () => {
  test('a million writes that lead nowhere else leave nothing behind', () => {
    const { rig, leaves } = watching();
    const { monitor, memory } = rig;
    const pages = leaves.map((leaf) => ({ words: memory.page(Math.floor(leaf / 4096))!, word: (leaf % 4096) / 4 }));
    const bits = [Number(A), Number(D)];
    let events = 0;
    const grown = growth(() => {
      for (let write = 0; write < 500_000; write++) {
        const at = (write * 7919) % PAGES;
        monitor.markDirtyEntry(leaves[at]!, 0, write % 4);
        const { words, word } = pages[at]!;
        words[word] = words[word]! ^ bits[write % 2]!;
        events += monitor.processDirtyEntries(write % 4).length;
      }
    });
    expect(events).toBe(0);
    expect(grown).toBeLessThan(NOTHING);
  });

  test('events, page by page, by directories and among vCPUs, leave nothing behind either', () => {
    const { rig, root, leaves, directory } = watching();
    const { monitor } = rig;
    let events = 0;
    const grown = growth(() => {
      for (let time = 0; time < 20_000; time++) {
        const leaf = leaves[(time * 7919) % PAGES]!;
        // The other vCPU's write is in memory, and moves the mirror, before it is processed.
        rig.mark(leaf, 1);
        rig.poke(leaf, rig.read(leaf) ^ P);
        events += rig.write(leaves[time % PAGES]!, rig.read(leaves[time % PAGES]!) ^ P).length;
        events += monitor.processDirtyEntries(1).length;
        if (time % 100 === 0) events += rig.write(directory, rig.read(directory) ^ P).length;
        const va = BigInt(time % 2000) * PAGE + 9n;
        monitor.monitor({ root, va, tag: `again ${time}` });
        monitor.unmonitor({ root, va });
        if (time % 1000 === 0) events += monitor.resync().length;
      }
    });
    expect(events).toBeGreaterThan(40_000);
    expect(grown).toBeLessThan(NOTHING);
  });

  test('tables that come and go while another vCPU has a write in flight leave nothing behind either', () => {
    const { rig, root, directory } = watching();
    rig.build(root, FAR, 0x5000n | PWU);
    rig.monitor.monitor({ root, va: FAR });
    rig.mark(rig.entry(root, FAR, 1), 1);
    const tables = Array.from({ length: 256 }, () => BigInt(rig.frame()) | PWU);
    rig.write(directory, tables[0]!);
    rig.write(directory, tables[1]!);
    const before = held();
    for (const table of tables) rig.write(directory, table);
    expect(held() - before).toBeLessThan(NOTHING);
  });
});

describe('R3 after the last release', () => {
  const TABLES = 512;
  const releases: Readonly<Record<string, (rig: Rig, root: number) => unknown>> = {
    unmonitorAll: ({ monitor }) => monitor.unmonitorAll(),
    rootGone: ({ monitor }, root) => monitor.rootGone(root),
    unmonitorRange: ({ monitor }, root) => monitor.unmonitorRange({ root, va: 0, byteLength: TABLES * 0x20_0000 }),
  };

  test.each(Object.keys(releases))('nothing is kept of what was watched: %s', (how) => {
    const rig = new Rig();
    const [root, other] = [rig.frame(), rig.frame()];
    for (let table = 0n; table < TABLES; table++) rig.build(root, table * 0x20_0000n, 0x5000n | PWU);
    rig.build(other, FAR, 0x5000n | PWU);
    rig.monitor.monitor({ root: other, va: FAR });
    const directory = rig.entry(root, 0n, 2);
    const before = held();
    rig.monitor.monitorRange({ root, va: 0, byteLength: TABLES * 0x20_0000, runs: true });
    // Each is moved by somebody else's look first, and then by its own vCPU's.
    for (const vcpu of [0, 1]) {
      rig.mark(directory + 8 * vcpu, vcpu);
      rig.poke(directory + 8 * vcpu, 0n);
    }
    rig.monitor.monitor({ root, va: 0x20_0000 * (TABLES - 1) });
    expect([0, 1].map((vcpu) => rig.monitor.processDirtyEntries(vcpu).length)).toEqual([1, 1]);
    rig.monitor.unmonitor({ root, va: 0x20_0000 * (TABLES - 1) });
    const taken = held() - before;
    expect(taken).toBeGreaterThan(2_000_000);
    releases[how]!(rig, root);
    rig.protections.length = 0;
    expect(rig.monitor.dump().addresses).toHaveLength(how === 'unmonitorAll' ? 0 : 1);
    // The source has its own notes of each frame that was protected once.
    expect(held() - before).toBeLessThan(taken / 5);
  });
});
