/**
 * Records the traces of `traces/` anew: `node scripts/record-traces.mjs [NAME…]`, after `npm run build` and `node guest/build.mjs`. Boots
 * the guest for each, watches processes of it exactly, and has them do what the trace is to show.
 */
import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { launchGuest, openQemu } from '../dist/drivers/qemu/index.js';
import { recordTrace } from '../dist/drivers/trace/index.js';
import { EntryWords, openLinux } from '../dist/linux/index.js';
import { openSession } from '../dist/session/index.js';
import { ProcessFollower } from './process-follower.mjs';

const FOLDER = join(import.meta.dirname, '../traces');

/** @typedef {(act: (command: string, note?: string) => Promise<readonly object[]>) => Promise<void>} Story */

/** @typedef {import('../dist/linux/index.js').Process} Process */

/** @type {Readonly<Record<string, { title: string, machine: object, story: Story, watch?: (process: Process) => boolean }>>} */
const TRACES = {
  tour: {
    title: 'a tour of what it does with memory',
    machine: { cpu: 'max,la57=off', memoryMiB: 512 },
    story: async (act) => {
      await act('sh true', 'a shell is started, and ends');
      await act('map 64 small at=0x100000000000', 'mmap of 256K: nothing is mapped yet');
      await act('touch 0x100000000000 64', 'writes to each of its 64 pages: a frame each');
      await act('fork 0x100000000000 64', 'fork: parent and child share all pages, now read-only');
      await act('cow 0x100000000000 16', 'the parent writes to 16 of them: they are copied');
      await act('child exit', 'the child ends');
      await act('swapout 0x100000000000 32', 'MADV_PAGEOUT: 32 pages go out to swap');
      await act('read 0x100000000000 8', 'reads eight of them: they come back');
      await act('unmap 0x100000000000 64', 'munmap');
      await act('map 1024 huge at=0x100000200000', 'mmap of 4M, with MADV_HUGEPAGE');
      await act('touch 0x100000200000 1024', 'writes to all of it: two huge pages come in');
      await act('split 0x100000200000', 'mprotect of a page: a huge page is split, with the same frames');
      await act('dontneed 0x100000208000 8', 'MADV_DONTNEED of eight of them');
      await act('touch 0x100000208000 8', 'writes to them again: other frames');
      await act('collapse 0x100000200000', 'MADV_COLLAPSE: all are copied into a huge page again');
      await act('unmap 0x100000200000 1024', 'munmap');
    },
  },
  boot: {
    title: 'a shell and what it runs, from fork to exit',
    machine: { cpu: 'max,la57=off', memoryMiB: 256 },
    story: async (act) => {
      await act('sh uname -r', 'sh: uname -r');
      await act('sh cat /proc/version | wc -c', 'sh: cat /proc/version | wc -c');
      await act(
        'sh for i in 1 2; do echo $i | sed s/1/one/; done',
        'sh: for i in 1 2; do echo $i | sed s/1/one/; done',
      );
    },
  },
  fork: {
    title: 'fork and copy on write, slowly, then in a storm',
    machine: { cpu: 'max,la57=off', memoryMiB: 256 },
    story: async (act) => {
      await act('map 64 small at=0x100000000000', 'mmap of 256K');
      await act('touch 0x100000000000 64', 'the parent writes to each of the 64 pages');
      await act('fork 0x100000000000 64', 'fork: parent and child share all of them, now read-only');
      await act('cow 0x100000000000 16', 'the parent writes to 16 of them: each is copied');
      await act('child touch 0x100000010000 16', 'the child writes to 16 others');
      await act('child exit', 'the child ends');
      await act('unmap 0x100000000000 64', 'munmap');
      await act('loop cow 24 pages=8 at=0x100000400000', 'a storm: children are forked, pages copied, again and again');
    },
  },
  huge: {
    title: 'huge pages come in, are split, and collapse',
    machine: { cpu: 'max', memoryMiB: 512 },
    story: async (act) => {
      await act('map 2048 huge at=0x100000000000', 'mmap of 8M, with MADV_HUGEPAGE');
      await act('touch 0x100000000000 2048', 'writes to each page: four huge pages come in');
      await act('split 0x100000000000', 'mprotect of a page: a huge page is split, with the same frames');
      await act('dontneed 0x100000008000 8', 'MADV_DONTNEED of eight of them');
      await act('touch 0x100000008000 8', 'they are written to again: other frames');
      await act('collapse 0x100000000000', 'MADV_COLLAPSE: they are copied into a huge page');
      await act('unmap 0x100000200000 1024', 'munmap of two huge pages');
      await act('mremap 0x100000600000 512 to=0x100000a00000', 'mremap of the last one: same frames, elsewhere');
    },
  },
  swap: {
    title: 'memory runs short: pages go to swap and back',
    machine: { cpu: 'max,la57=off', memoryMiB: 96 },
    watch: (each) => each.command === 'workload',
    story: async (act) => {
      await act('map 1024 small at=0x100000000000', 'mmap of 4M');
      await act('touch 0x100000000000 1024', 'writes to each of its 1024 pages');
      await act('swapout 0x100000000000 64', 'MADV_PAGEOUT of 64 pages');
      await act('read 0x100000000000 16', 'reads 16 of them: they come back');
      await act(
        'sh dd if=/dev/zero of=/dev/null bs=64M count=1',
        'another process wants 64M: the kernel swaps what it can',
      );
      await act('touch 0x100000000000 256', 'writes to 256 pages again');
    },
  },
};

/** @param {string} name */
async function record(name) {
  const trace = TRACES[name];
  if (trace === undefined) throw new Error(`there is no ${name}: ${Object.keys(TRACES).join(', ')}`);
  const { title, machine, story, watch = (each) => each.pid !== 1 } = trace;
  const guest = await launchGuest(machine);
  try {
    const hello = await guest.waitForReady();
    const qemu = await openQemu({ qmp: guest.qmpPath, gdb: guest.gdbPath, maxWatchpoints: 20_000 });
    const linux = await openLinux(qemu);
    const path = join(FOLDER, `${name}.trace`);
    const recorder = recordTrace(path, {
      title: `Linux ${guest.kernel.release}: ${title}.`,
      options: { watch: 'exact' },
    });
    const stop = new AbortController();
    const session = await openSession({
      driver: qemu,
      recorder,
      kinds: ['protection', 'restructure'],
      signal: stop.signal,
      system: new EntryWords(linux.entryFormat),
      onBatch: () => follower.update(),
    });
    const follower = new ProcessFollower(session.monitor, linux, watch);
    await follower.update();
    const running = session.run();
    const start = performance.now();
    try {
      await story(async (command, note) => {
        if (note !== undefined) recorder.note(note);
        const reports = await guest.workload.command(command, { timeoutMs: 200_000 });
        await new Promise((resolve) => {
          setTimeout(resolve, 50);
        });
        return reports;
      });
    } finally {
      stop.abort();
      await running;
    }
    const { writes, counts, lost } = session.statistics();
    const bytes = statSync(path).size;
    process.stdout.write(
      `${name}: ${bytes} bytes, ${writes} writes (${(bytes / writes).toFixed(1)} bytes each), ` +
        `${Object.entries(counts)
          .map(([kind, count]) => `${count} ${kind}`)
          .join(', ')}, ` +
        `lost ${JSON.stringify(lost)}, ${((performance.now() - start) / 1000).toFixed(1)} s, pid ${hello.pid}\n`,
    );
  } finally {
    await guest.stop();
  }
}

mkdirSync(FOLDER, { recursive: true });
const names = process.argv.slice(2);
for (const name of names.length === 0 ? Object.keys(TRACES) : names) await record(name);
