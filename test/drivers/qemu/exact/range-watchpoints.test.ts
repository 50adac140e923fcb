import { describe, expect, onTestFinished, test } from 'vitest';
import { EntryWatchpoints } from '../../../../src/drivers/qemu/exact/watchpoints/entry-watchpoints.ts';
import { WritableAliases } from '../../../../src/drivers/qemu/exact/aliases/writable-aliases.ts';
import { GdbClient } from '../../../../src/drivers/qemu/gdb/client.ts';
import { Machine } from '../../../core/paging/machine.ts';
import { Stub, type StubOptions } from '../gdb/stub.ts';

/** The first 2 MiB are mapped writable here, and again there. */
const HERE = 0xffff_8880_0000_0000n;
const THERE = 0xffff_c000_0000_0000n;
const ENTRY = 0x1_2000;

async function stage(
  options: StubOptions & { readonly twice?: boolean; readonly max?: number; readonly areRegisters?: boolean } = {},
) {
  const machine = new Machine({ mode: '4-level' });
  const root = machine.chain(HERE, 2, 0x8000_0000_0000_00e3n);
  const findings = [
    await WritableAliases.of(machine.paging, machine.memory, { root: Number(root), cr0: 0x8001_0001n }),
  ];
  const stub = await Stub.start(options);
  const gdb = await GdbClient.connect(stub.address, { timeoutMs: 300 });
  onTestFinished(() => gdb.close());
  const traps = new EntryWatchpoints({
    gdb,
    limits: { max: options.max ?? 100, areRegisters: options.areRegisters ?? false },
    aliases: () => findings.at(-1)!,
    refresh: async () => {
      findings.push(
        await WritableAliases.of(machine.paging, machine.memory, { root: Number(root), cr0: 0x8001_0001n }),
      );
      return findings.at(-1)!;
    },
  });
  const set = (...entries: readonly number[]) => traps.setEntries(Float64Array.from(entries), 8);
  return { machine, root, stub, traps, set };
}

const at = (pa: number, byteLength = 8, base = HERE): string =>
  `${(base + BigInt(pa)).toString(16)},${byteLength.toString(16)}`;

describe('watchpoints on entries', () => {
  test('neighbours share one, a frame ends it, and each is named by where it is', async () => {
    const { stub, traps, set } = await stage();
    await set(ENTRY + 8, ENTRY, ENTRY + 32, 0x1_3ff8, 0x1_4000, ENTRY);
    expect(stub.watches).toEqual([at(ENTRY, 16), at(ENTRY + 32), at(0x1_3ff8), at(0x1_4000)]);
    // All that one instruction may have written to.
    const all = [ENTRY, ENTRY + 32, 0x1_3ff8, 0x1_4000].map((pa) => ({ pa, byteLength: pa === ENTRY ? 16 : 8 }));
    expect(traps.runsNear(HERE + BigInt(ENTRY))).toEqual(all.filter(({ pa }) => pa < ENTRY + 16 + 0xb00));
    expect([traps.runsNear(HERE), traps.count]).toEqual([[], 4]);
  });

  test('what is the same stays, what is other goes and comes; nothing is said twice', async () => {
    const { stub, traps, set } = await stage();
    await set(ENTRY, ENTRY + 32);
    expect([traps.takeAdded(), traps.takeAdded()]).toEqual([true, false]);
    const before = stub.commands.length;
    await set(ENTRY, ENTRY + 32);
    expect(stub.commands.length).toBe(before);
    await set(ENTRY, ENTRY + 8, ENTRY + 64);
    expect(stub.watches).toEqual([at(ENTRY, 16), at(ENTRY + 64)]);
    expect(traps.takeAdded()).toBe(true);
    await set(ENTRY, ENTRY + 8);
    expect([stub.watches, traps.takeAdded()]).toEqual([[at(ENTRY, 16)], false]);
    await traps.clear();
    expect([stub.watches, traps.count]).toEqual([[], 0]);
    await set(ENTRY, ENTRY + 8);
    expect(stub.watches).toEqual([at(ENTRY, 16)]);
  });

  test('a frame that is mapped twice is trapped twice', async () => {
    const { machine, root, stub, set } = await stage();
    // Found when an entry has no alias that is known.
    machine.put(machine.entryPa(4, root, THERE), 0x6_1027n);
    machine.put(machine.entryPa(3, 0x6_1000n, THERE), 0x6_2027n);
    machine.put(machine.entryPa(2, 0x6_2000n, THERE), 0x6_3027n);
    machine.put(0x6_3000n, 0x8000_0000_0001_2063n);
    machine.put(0x6_3008n, 0x8000_0000_0030_0063n);
    await set(ENTRY, 0x30_0000);
    expect(new Set(stub.watches)).toEqual(new Set([at(ENTRY), at(0, 8, THERE), at(0, 8, THERE + 0x1000n)]));
  });

  test('an entry without a writable mapping, and too many of them: said, and nothing has changed', async () => {
    const { stub, set } = await stage({ max: 2 });
    await set(ENTRY);
    await expect(set(ENTRY, 0x30_0000)).rejects.toMatchObject({
      code: 'protect-failed',
      facts: { entryPa: 0x30_0000 },
    });
    await expect(set(ENTRY, ENTRY + 16, ENTRY + 32)).rejects.toThrow(/3 watchpoints are needed, and 2 are allowed/);
    expect(stub.watches).toEqual([at(ENTRY)]);
    await set(ENTRY, ENTRY + 16);
    expect(stub.watches).toEqual([at(ENTRY), at(ENTRY + 16)]);
  });

  test('KVM has four: the rest is refused, and said so', async () => {
    const { set } = await stage({ maxWatches: 4 });
    await expect(set(0, 16, 32, 48, 64, 80)).rejects.toThrow(
      /QEMU refused 2 of 6 watchpoints: .*with KVM there are four/,
    );
  });

  // Whichever command is the one that is not answered.
  test.each([0, 1, 2, 3, 4])('a change that fails at its command %i is made good by the next', async (failing) => {
    let isCounting = false;
    let count = 0;
    const { stub, traps, set } = await stage({
      reply: (payload) => {
        if (!isCounting || !/^[zZ]2,/.test(payload)) return undefined;
        return count++ === failing ? null : undefined;
      },
    });
    await set(ENTRY, ENTRY + 16, ENTRY + 32);
    isCounting = true;
    await expect(set(ENTRY, ENTRY + 64, ENTRY + 96, ENTRY + 128)).rejects.toMatchObject({ code: 'source-unavailable' });
    isCounting = false;
    await set(ENTRY, ENTRY + 96, ENTRY + 128, ENTRY + 160);
    const wanted = [ENTRY, ENTRY + 96, ENTRY + 128, ENTRY + 160];
    // The very one whose fate nobody knows may stand there once more than it was wanted; all that is wanted is there.
    for (const entry of wanted) expect(stub.watches, `after command ${failing}`).toContain(at(entry));
    expect(traps.count).toBe(4);
    await traps.clear();
    expect(stub.watches, `after command ${failing}`).toEqual([]);
  });
});
