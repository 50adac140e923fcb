/**
 * R4 where the guest stops at writes to trapped words and entries, and at nothing else: that what the kernel writes when a process comes,
 * changes and goes is among them.
 */
import { describe, expect, test } from 'vitest';
import type { Driver, SourceEvent } from '../../src/driver/driver.ts';
import { openLinux, type ProcessSelection, ProcessWatch } from '../../src/linux/index.ts';
import { openSession } from '../../src/session/session.ts';
import { MadeKernel, type MadeProcess } from './made-kernel.ts';

/** Each step is what the guest does without being looked at, unless it writes to what is trapped. */
async function watch(
  made: MadeKernel,
  selection: ProcessSelection,
  steps: readonly (() => void)[],
): Promise<{ said: string[]; stops: number; trapped: number[]; ended: boolean }> {
  let trapped = new Set<number>();
  let written: number[] = [];
  const write = made.memory.writeU64.bind(made.memory);
  made.memory.writeU64 = (pa, lo, hi) => {
    write(pa, lo, hi);
    written.push(pa);
  };
  const writeBytes = made.memory.write.bind(made.memory);
  made.memory.write = (pa, bytes) => {
    writeBytes(pa, bytes);
    for (let at = pa - (pa % 8); at < pa + bytes.length; at += 8) written.push(at);
  };
  let stops = 0;
  const driver: Driver = {
    name: 'made',
    ...made.source(),
    traps: {
      setEntries: async (entries) => {
        trapped = new Set(entries);
      },
    },
    async *run() {
      for (const step of steps) {
        written = [];
        step();
        const hits = written.filter((pa) => trapped.has(pa));
        if (hits.length === 0) continue;
        stops++;
        yield [
          ...hits.map((pa): SourceEvent => ({ kind: 'write', vcpu: 0, view: 0, pa, byteLength: 8 })),
          { kind: 'commit', vcpu: 0 },
          { kind: 'missed', reason: 'stops merge', lost: 0 },
        ];
      }
    },
    close: async () => {},
  };
  let ended = false;
  const system = new ProcessWatch({
    linux: await openLinux(driver),
    selection,
    isExact: true,
    vcpuCount: 1,
    onEnd: () => (ended = true),
  });
  const session = await openSession({ driver, system, kinds: ['root-gone'] });
  await system.begin(session);
  const said: string[] = [];
  for await (const { kind, va, tags } of session) {
    said.push(kind === 'root-gone' ? `gone ${tags.join(' ')}` : `${kind} ${tags.join(' ')} 0x${va.toString(16)}`);
  }
  return { said, stops, trapped: [...system.words()], ended };
}

const AREAS = [
  { start: 0x10_0000n, end: 0x10_4000n },
  { start: 0x20_0000n, end: 0x20_4000n },
];
const NAMED = { by: { command: 'wanted' } } as const;

/** A kernel whose first process is of no interest. */
function kernel(): MadeKernel {
  const made = new MadeKernel();
  made.makeProcess({ pid: 1, comm: 'init', areas: AREAS });
  return made;
}

const put = (made: MadeKernel, at: bigint, place: string, value: bigint) => made.put(at + made.at(place), value);

/** exit_mm, and then mmput. */
function leaveMemory(made: MadeKernel, { task }: MadeProcess): void {
  put(made, task, 'task_struct.mm', 0n);
}

function putMemory(made: MadeKernel, { mm }: MadeProcess): void {
  put(made, mm, 'mm_struct.mm_users', 0n);
}

/** release_task: the list's own words of it are poisoned (include/linux/poison.h). */
function reap(made: MadeKernel, { task }: MadeProcess): void {
  made.unlink(task);
  const list = task + made.at('task_struct.tasks');
  made.put(list, 0xdead_0000_0000_0100n);
  made.put(list + 8n, 0xdead_0000_0000_0122n);
}

describe('R4 the words that are trapped tell of everything', () => {
  test('fork, a page, exit, reaping; and no word is left', async () => {
    const made = kernel();
    const before = (await watch(kernel(), NAMED, [])).trapped.length;
    let child: MadeProcess | undefined;
    const { said, trapped } = await watch(made, NAMED, [
      () => {
        child = made.makeProcess({ pid: 7, comm: 'wanted', areas: AREAS });
      },
      () => made.mapPage(child!.root, 0x10_1000n, 0x12_3067n),
      () => leaveMemory(made, child!),
      () => putMemory(made, child!),
      // The table is given to somebody else, and is data.
      () => made.mapPage(child!.root, 0x10_1000n, 0x66_6067n),
      () => reap(made, child!),
    ]);
    expect(said).toEqual(['page-in wanted[7] anon 0x101000', 'page-out wanted[7] anon 0x101000', 'gone wanted[7]']);
    expect(trapped.length).toBe(before);
  });

  test('a child that takes the name, as after exec', async () => {
    const made = kernel();
    const old = made.makeProcess({ pid: 7, comm: 'shell', areas: AREAS });
    const fresh = made.makeProcess({ pid: 99, comm: 'maker', areas: AREAS });
    made.unlink(fresh.task);
    const { said } = await watch(made, NAMED, [
      () => put(made, old.task, 'task_struct.mm', fresh.mm),
      () => putMemory(made, old),
      () => made.text(old.task + made.at('task_struct.comm'), 'wanted'),
      () => made.mapPage(fresh.root, 0x10_1000n, 0x12_3067n),
    ]);
    expect(said).toEqual(['page-in wanted[7] anon 0x101000']);
  });

  test('exec of one that is watched: the new memory from its first page, the old until it goes', async () => {
    const made = kernel();
    const old = made.makeProcess({ pid: 7, comm: 'wanted', areas: AREAS });
    const fresh = made.makeProcess({ pid: 99, comm: 'maker', areas: AREAS });
    made.unlink(fresh.task);
    const { said } = await watch(made, { by: { pid: 7 } }, [
      () => put(made, old.task, 'task_struct.mm', fresh.mm),
      () => made.mapPage(fresh.root, 0x10_1000n, 0x12_3067n),
      () => made.mapPage(old.root, 0x10_2000n, 0x12_4067n),
      () => putMemory(made, old),
      () => made.mapPage(old.root, 0x10_3000n, 0x12_5067n),
    ]);
    expect(said).toEqual([
      'page-in wanted[7] anon 0x101000',
      'page-in wanted[7] anon 0x102000',
      'page-out wanted[7] anon 0x102000',
      'gone wanted[7]',
    ]);
  });

  test('memory that others still use outlives its process', async () => {
    const made = kernel();
    const it = made.makeProcess({ pid: 7, comm: 'wanted', areas: AREAS });
    put(made, it.mm, 'mm_struct.mm_users', 2n);
    const { said, ended } = await watch(made, { by: { pid: 7 } }, [
      () => leaveMemory(made, it),
      () => put(made, it.mm, 'mm_struct.mm_users', 1n),
      () => made.mapPage(it.root, 0x10_1000n, 0x12_3067n),
      () => putMemory(made, it),
    ]);
    expect(said).toEqual(['page-in wanted[7] anon 0x101000', 'page-out wanted[7] anon 0x101000', 'gone wanted[7]']);
    expect(ended).toBe(true);
  });

  test('a part of the memory: an area that grows is watched before its page comes, another is not', async () => {
    const made = kernel();
    const { root, areas, mm } = made.makeProcess({
      pid: 7,
      comm: 'wanted',
      brk: [0x10_0000n, 0x10_4000n],
      areas: AREAS,
    });
    const heap = { by: { pid: 7 }, map: { kind: 'named', name: 'heap' } } as const;
    const { said } = await watch(made, heap, [
      () => put(made, areas[0]!, 'vm_area_struct.vm_end', 0x10_8000n),
      () => put(made, mm, 'mm_struct.brk', 0x10_8000n),
      () => made.mapPage(root, 0x10_5000n, 0x12_3067n),
      () => made.mapPage(root, 0x20_1000n, 0x12_4067n),
    ]);
    expect(said).toEqual(['page-in wanted[7] heap 0x105000']);
  });

  test('a page that was there before the watch has its name, although its area goes first', async () => {
    const made = kernel();
    const { root, areas, mm } = made.makeProcess({
      pid: 7,
      comm: 'wanted',
      brk: [0x10_0000n, 0x10_4000n],
      areas: AREAS,
    });
    made.mapPage(root, 0x10_1000n, 0x12_3067n);
    const { said } = await watch(made, NAMED, [
      () => put(made, mm, 'mm_struct.brk', 0x10_1000n),
      () => put(made, areas[0]!, 'vm_area_struct.vm_end', 0x10_1000n),
      () => made.mapPage(root, 0x10_1000n, 0n),
    ]);
    expect(said).toEqual(['page-out wanted[7] heap 0x101000']);
  });

  test('what is of no interest stops nothing', async () => {
    const made = kernel();
    made.makeProcess({ pid: 7, comm: 'wanted', areas: AREAS });
    const other = made.makeProcess({ pid: 8, comm: 'other', areas: AREAS });
    const { stops } = await watch(made, { by: { pid: 7 } }, [
      () => made.mapPage(other.root, 0x10_1000n, 0x12_3067n),
      () => made.text(other.task + made.at('task_struct.comm'), 'else'),
      () => putMemory(made, other),
    ]);
    expect(stops).toBe(0);
  });
});
