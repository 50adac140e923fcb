/** R4: processes that are watched by samples, as they come, change and go. */
import { describe, expect, test } from 'vitest';
import type { MonitorEvent } from '../../src/core/monitor/events.ts';
import type { Driver, SourceEvent } from '../../src/driver/driver.ts';
import { openLinux, type ProcessSelection, ProcessWatch } from '../../src/linux/index.ts';
import { openSession } from '../../src/session/session.ts';
import { MadeKernel } from './made-kernel.ts';

/** Watches by samples; each step is what the guest does before one. */
async function sample(
  made: MadeKernel,
  selection: ProcessSelection,
  steps: readonly (() => void)[],
): Promise<{ said: string[]; notices: string[]; ended: boolean }> {
  const driver: Driver = {
    name: 'made',
    ...made.source(),
    async *run() {
      for (const step of steps) {
        step();
        yield [{ kind: 'missed', reason: 'sampled', lost: null }] satisfies SourceEvent[];
      }
    },
    close: async () => {},
  };
  const notices: string[] = [];
  let ended = false;
  const system = new ProcessWatch({
    linux: await openLinux(driver),
    selection,
    isExact: false,
    vcpuCount: 1,
    onNotice: (text) => notices.push(text),
    onEnd: () => (ended = true),
  });
  const session = await openSession({ driver, system, kinds: ['root-gone'] });
  await system.begin(session);
  const said: string[] = [];
  for await (const event of session) said.push(text(event));
  expect(session.summary()).toMatchObject({ ended: 'finished' });
  return { said, notices, ended };
}

function text(event: MonitorEvent): string {
  const where = event.kind === 'root-gone' ? '' : ` 0x${event.va.toString(16)}`;
  const meaning = event.cause?.newMeaning ?? event.cause?.oldMeaning;
  return `${event.kind} ${event.tags.join(' ')}${where}${meaning === undefined ? '' : ` (${meaning})`}`;
}

const AREAS = [
  { start: 0x10_0000n, end: 0x10_4000n },
  { start: 0x20_0000n, end: 0x20_4000n },
];
const NAMED = { by: { command: 'wanted' } } as const;

describe('R4 processes that are watched by samples', () => {
  test('one that comes is watched, and its end is its root’s', async () => {
    const made = new MadeKernel();
    made.makeProcess({ pid: 1, comm: 'init', areas: [] });
    let process = { task: 0n, root: 0 };
    const { said } = await sample(made, NAMED, [
      () => {
        process = made.makeProcess({ pid: 7, comm: 'wanted', brk: [0x10_0000n, 0x10_4000n], areas: AREAS });
      },
      () => made.mapPage(process.root, 0x10_1000n, 0x12_3067n),
      () => made.mapPage(process.root, 0x20_0000n, 0x12_4067n),
      () => made.mapPage(process.root, 0x10_1000n, (1n << 59n) | 0x7ff_ffff_ffff_0000n),
      () => made.unlink(process.task),
    ]);
    expect(said).toEqual([
      'page-in wanted[7] heap 0x101000',
      'page-in wanted[7] anon 0x200000',
      'page-out wanted[7] heap 0x101000 (swap 1:127)',
      'page-out wanted[7] anon 0x200000',
      'root-gone wanted[7]',
    ]);
  });

  test('nothing is said of a table that was freed and is data now', async () => {
    const made = new MadeKernel();
    const { task, root } = made.makeProcess({ pid: 7, comm: 'wanted', areas: AREAS });
    const { said } = await sample(made, NAMED, [
      () => made.mapPage(root, 0x10_1000n, 0x12_3067n),
      () => {
        made.unlink(task);
        for (let slot = 0; slot < 512; slot++) made.mapPage(root, 0x10_0000n + BigInt(slot * 4096), 0x66_6067n);
      },
    ]);
    expect(said).toEqual([
      'page-in wanted[7] anon 0x101000',
      'page-out wanted[7] anon 0x101000',
      'root-gone wanted[7]',
    ]);
  });

  test('another process with the same memory structure and number of the table is not taken for it', async () => {
    const made = new MadeKernel();
    const { task } = made.makeProcess({ pid: 7, comm: 'wanted', areas: AREAS });
    const { said } = await sample(made, NAMED, [
      () => {
        made.put(task + made.at('task_struct.pid'), 8n);
        made.put(task + made.at('task_struct.start_boottime'), 99n);
      },
      () => {},
    ]);
    expect(said).toEqual(['root-gone wanted[7]']);
  });

  test('exec: the old memory goes, the new is watched', async () => {
    const made = new MadeKernel();
    const { task } = made.makeProcess({ pid: 7, comm: 'wanted', areas: AREAS });
    const other = made.makeProcess({ pid: 99, comm: 'maker', areas: AREAS });
    made.unlink(other.task);
    const { said } = await sample(made, NAMED, [
      () => made.put(task + made.at('task_struct.mm'), other.mm),
      () => made.mapPage(other.root, 0x10_1000n, 0x12_3067n),
    ]);
    expect(said).toEqual(['root-gone wanted[7]', 'page-in wanted[7] anon 0x101000']);
  });

  test('one that takes another name is left alone, one that takes the name is watched', async () => {
    const made = new MadeKernel();
    const [first, second] = [
      made.makeProcess({ pid: 7, comm: 'wanted', areas: AREAS }),
      made.makeProcess({ pid: 8, comm: 'other', areas: AREAS }),
    ];
    const { said } = await sample(made, NAMED, [
      () => {
        made.text(first.task + made.at('task_struct.comm'), 'other');
        made.text(second.task + made.at('task_struct.comm'), 'wanted');
      },
      () => {
        made.mapPage(first.root, 0x10_1000n, 0x12_3067n);
        made.mapPage(second.root, 0x10_1000n, 0x12_4067n);
      },
    ]);
    expect(said).toEqual(['page-in wanted[8] anon 0x101000']);
  });

  test('a part of the memory follows its areas', async () => {
    const made = new MadeKernel();
    const { root, areas, mm } = made.makeProcess({
      pid: 7,
      comm: 'wanted',
      brk: [0x10_0000n, 0x10_4000n],
      areas: AREAS,
    });
    const heap = { by: { pid: 7 }, map: { kind: 'named', name: 'heap' } } as const;
    const end = areas[0]! + made.at('vm_area_struct.vm_end');
    const { said } = await sample(made, heap, [
      () => {
        made.mapPage(root, 0x10_1000n, 0x12_3067n);
        made.mapPage(root, 0x10_5000n, 0x12_4067n);
        made.mapPage(root, 0x20_0000n, 0x12_5067n);
      },
      () => {
        made.mapPage(root, 0x10_5000n, 0n);
        made.put(end, 0x10_8000n);
        made.put(mm + made.at('mm_struct.brk'), 0x10_8000n);
      },
      () => made.mapPage(root, 0x10_5000n, 0x12_6067n),
      // It shrinks: the area goes first, then the page.
      () => made.put(end, 0x10_2000n),
      () => made.mapPage(root, 0x10_5000n, 0n),
      () => made.mapPage(root, 0x10_5000n, 0x12_7067n),
      () => made.mapPage(root, 0x10_5000n, 0n),
      // It grows and has the page before anybody looks.
      () => {
        made.put(end, 0x10_8000n);
        made.mapPage(root, 0x10_6000n, 0x12_8067n);
      },
      // Another area takes its place.
      () => {
        made.put(mm + made.at('mm_struct.brk'), 0x10_0000n);
        made.put(mm + made.at('mm_struct.start_brk'), 0x90_0000n);
        made.mapPage(root, 0x10_6000n, 0x12_9067n);
      },
      () => made.mapPage(root, 0x10_7000n, 0x12_a067n),
    ]);
    expect(said).toEqual([
      'page-in wanted[7] heap 0x101000',
      'page-in wanted[7] heap 0x105000',
      'page-out wanted[7] heap 0x105000',
      'page-in wanted[7] heap 0x106000',
      'page-out wanted[7] heap 0x106000',
    ]);
  });

  test('the watch of one number ends with it', async () => {
    const made = new MadeKernel();
    const { task } = made.makeProcess({ pid: 7, comm: 'one', areas: AREAS });
    const { said, ended } = await sample(made, { by: { pid: 7 } }, [() => {}, () => made.unlink(task)]);
    expect({ said, ended }).toEqual({ said: ['root-gone one[7]'], ended: true });
  });

  test('where the list of processes breaks off, what is behind it is not taken for gone', async () => {
    const made = new MadeKernel();
    const init = made.makeProcess({ pid: 1, comm: 'init', areas: [] });
    const { root } = made.makeProcess({ pid: 7, comm: 'wanted', areas: AREAS });
    const list = init.task + made.at('task_struct.tasks');
    const next = made.get(list);
    const { said, notices } = await sample(made, NAMED, [
      () => made.put(list, 0n),
      () => {},
      () => made.put(list, next),
      () => made.mapPage(root, 0x10_1000n, 0x12_3067n),
    ]);
    expect(said).toEqual(['page-in wanted[7] anon 0x101000']);
    expect(notices.join('\n')).toMatch(/inconsistent: the list of processes breaks off/);
  });
});

test.each([
  [7, /process 7 has ended: its memory is gone/],
  [2, /the guest has no process 2 with memory of its own/],
  [999, /the guest has no process 999/],
])('a process that cannot be watched: %i', async (pid, expected) => {
  const made = new MadeKernel();
  const { task } = made.makeProcess({ pid: 7, comm: 'zombie', areas: [] });
  made.put(task + made.at('task_struct.mm'), 0n);
  made.makeProcess({ pid: 2, comm: 'kthreadd', isKernelThread: true });
  await expect(sample(made, { by: { pid } }, [])).rejects.toThrow(expected);
});
