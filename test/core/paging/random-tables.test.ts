/** P1 for translation: random machines and random entries, beside the oracle. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { PagingOptions } from '../../../src/core/paging/format.ts';
import { DEPTH, Machine, MODES } from './machine.ts';

const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });

/** All machines, the encryption masks that exist, and MAXPHYADDR at its ends more often than in between. */
const machineOf = (mode: (typeof MODES)[number]): fc.Arbitrary<PagingOptions> =>
  fc.record({
    mode: fc.constant(mode),
    physicalAddressBits: fc.oneof(fc.constantFrom(32, 36, 39, 40, 48, 52), fc.integer({ min: 32, max: 52 })),
    encryptionMask: fc.constantFrom(0n, 0n, 1n << 47n, 1n << 51n, (1n << 47n) | (1n << 51n), 1n << 36n),
    noExecuteEnable: fc.boolean(),
    pageSizeExtensions: fc.boolean(),
  });

/** A good pointer or leaf, or one that differs from it in a bit or two, so that walks get deep and then go wrong. */
const nearlyGood = (mode: (typeof MODES)[number], frames: bigint) =>
  fc
    .tuple(
      fc.bigInt({ min: 0n, max: frames }),
      mode === 'pae'
        ? fc.constantFrom(0x01n, 0x01n, 0x19n, 0x27n, 0xa7n)
        : fc.constantFrom(0x01n, 0x27n, 0x67n, 0xa7n, 0xe7n),
      fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, fc.array(fc.integer({ min: 0, max: 63 }), { maxLength: 2 })),
    )
    .map(([frame, flags, flips]) => flips.reduce((value, bit) => value ^ (1n << BigInt(bit)), (frame << 12n) | flags));

const VA_BITS = { '5-level': 57, '4-level': 48, pae: 32, '32-bit': 32 };

/** Mostly what the mode translates, on both sides of the hole. */
const addressOf = (mode: (typeof MODES)[number]) =>
  fc.oneof(
    {
      weight: 5,
      arbitrary: fc
        .bigInt({ min: 0n, max: 2n ** BigInt(VA_BITS[mode]) - 1n })
        .map((va) => (VA_BITS[mode] === 32 ? va : BigInt.asUintN(64, BigInt.asIntN(VA_BITS[mode], va)))),
    },
    { weight: 1, arbitrary: u64 },
  );

describe.each(MODES)('T1-T8 %s, beside the oracle', (mode) => {
  const width = mode === '32-bit' ? 32 : 64;
  const address = addressOf(mode);

  test('any value at all in the entry of any level', () => {
    fc.assert(
      fc.property(
        machineOf(mode),
        fc.integer({ min: 1, max: DEPTH[mode] }),
        u64,
        address,
        (options, level, value, va) => {
          const machine = new Machine(options);
          const root = machine.chain(va, level, BigInt.asUintN(width, value | 1n));
          machine.walk(root, va);
        },
      ),
      { numRuns: 4000 },
    );
  });

  test('entries that are nearly good, at every level at once', () => {
    let translated = 0;
    fc.assert(
      fc.property(
        machineOf(mode),
        fc.array(nearlyGood(mode, 5n), { minLength: 5, maxLength: 5 }),
        fc.bigInt({ min: 0n, max: 5n }),
        address,
        (options, values, first, va) => {
          const machine = new Machine(options);
          for (let frame = 1n; frame < 6n; frame++) machine.memory.addPage(Number(frame));
          let table = first << 12n;
          for (let level = DEPTH[mode]; level >= 1; level--) {
            const value = BigInt.asUintN(width, values[level - 1]!);
            machine.put(machine.entryPa(level, table, va), value);
            table = value & 0x7000n;
          }
          if (machine.walk(first << 12n, va).translates) translated++;
        },
      ),
      { numRuns: 4000 },
    );
    expect(translated).toBeGreaterThan(150);
  });

  test('tables as data: a few frames full of garbage, self-maps and cycles included, any CR3', () => {
    const reasons = new Map<string, number>();
    fc.assert(
      fc.property(
        machineOf(mode),
        fc.array(fc.oneof({ weight: 8, arbitrary: nearlyGood(mode, 3n) }, { weight: 1, arbitrary: u64 }), {
          minLength: 8,
          maxLength: 8,
        }),
        fc.array(fc.tuple(u64, address), { minLength: 8, maxLength: 8 }),
        (options, values, walks) => {
          const machine = new Machine(options);
          // Three frames, every slot of each filled from a handful of values.
          for (let frame = 0; frame < 3; frame++) {
            const page = machine.memory.addPage(frame);
            for (let word = 0; word < 1024; word++) {
              const value = values[width === 64 ? ((word >> 1) * 5 + frame * 3) % 8 : (word * 5 + frame * 3) % 8]!;
              page[word] = Number((width === 64 && word % 2 === 1 ? value >> 32n : value) & 0xffff_ffffn);
            }
          }
          for (const [noise, va] of walks) {
            const answer = machine.walk((noise & ~0xf_ffff_ffff_f000n) | ((noise >> 20n) & 0x3000n), va);
            const what = answer.translates ? `${answer.pageSize}` : answer.reason;
            reasons.set(what, (reasons.get(what) ?? 0) + 1);
          }
        },
      ),
      { numRuns: 1500 },
    );
    const sizes =
      mode === '32-bit'
        ? ['4096', '4194304']
        : mode === 'pae'
          ? ['4096', '2097152']
          : ['4096', '2097152', '1073741824'];
    const met = [...reasons.keys()].sort();
    expect(met).toEqual([...sizes, 'no-memory', 'non-canonical', 'not-present', 'reserved-bit'].sort());
  });
});
