import { describe, expect, test } from 'vitest';
import { rowOfAlike } from '../../../src/cli/output/alike-row.ts';
import type { Pa } from '../../../src/core/address/types.ts';
import type { MonitorEvent } from '../../../src/core/monitor/events.ts';
import { pageIn } from '../../sinks/examples.ts';

interface RunOf {
  readonly kind?: 'page-out';
  readonly pages: number;
  readonly pageSize?: number;
  readonly level?: number;
}

describe('one line for events that are alike', () => {
  const entry = (n: number, oldValue: bigint, newValue: bigint): MonitorEvent => ({
    ...pageIn,
    va: BigInt(n) * 0x1000n,
    cause: { entryPa: (n * 8) as Pa, level: 1, oldValue, newValue },
  });

  /** With what one of the values means. */
  const swapped = (n: number, which: 'old' | 'new'): MonitorEvent => {
    const event = entry(n, which === 'old' ? 0x202n : 0x1067n, which === 'old' ? 0x1067n : 0x202n);
    return { ...event, cause: { ...event.cause!, [`${which}Meaning`]: `swap 0:${n}` } };
  };

  test('a single one is told in full', () => {
    expect(rowOfAlike([pageIn], false)).toMatchObject({ va: '0x7f1234567abc', size: '4K', why: 'PTE 0x0 → …067' });
  });

  test.each([
    ['set', [entry(1, 0n, 0x1067n), entry(5, 0n, 0x2067n)], '2 PTEs set'],
    ['cleared', [entry(1, 0x1067n, 0n), entry(5, 0x2067n, 0n)], '2 PTEs → 0x0'],
    ['both', [entry(1, 0x1067n, 0n), entry(5, 0n, 0x2067n)], '2 PTEs changed'],
    ['back from swap', [swapped(1, 'old'), swapped(5, 'old')], '2 PTEs ← swap'],
    ['out to swap', [swapped(1, 'new'), swapped(5, 'new')], '2 PTEs → swap'],
    ['some of them', [swapped(1, 'old'), entry(5, 1n, 0x2067n)], '2 PTEs changed'],
    ['one entry behind both', [entry(1, 0n, 0x1067n), { ...entry(1, 0n, 0x1067n), va: 0x9000n }], 'PTE 0x0 → …067'],
  ] as const)('%s', (_, events, why) => {
    expect(rowOfAlike(events, false)).toMatchObject({ va: '0x1000…', size: '2×4K', why });
  });

  test.each([
    ['neighbours', { pages: 4 }, '4×4K', '4 PTEs set'],
    ['that go, of which the first alone is known', { kind: 'page-out', pages: 4 }, '4×4K', '4 PTEs changed'],
    ['of large pages', { pages: 1024, pageSize: 2 ** 21, level: 2 }, '2×2M', '2 PDEs set'],
  ] as const)('a run has an entry for each leaf: %s', (_, { level = 1, ...run }: RunOf, size, why) => {
    const one = { ...entry(1, 0n, 0x1067n), ...run } as MonitorEvent;
    const event = { ...one, cause: { ...one.cause!, level } };
    expect(rowOfAlike([event], false)).toMatchObject({ va: '0x1000…', size, why });
    const next = { ...event, va: 0x9000_0000n, cause: { ...event.cause, entryPa: 0x800 as Pa } };
    expect(rowOfAlike([event, next], false).why).toBe(why.replace(/\d/, (number) => String(2 * Number(number))));
  });

  test('a run that one entry of a directory maps is that of one entry', () => {
    const one = entry(1, 0x1067n, 0n);
    const event = { ...one, pages: 512, cause: { ...one.cause!, level: 2 } } as MonitorEvent;
    expect(rowOfAlike([event], false)).toMatchObject({ va: '0x1000', size: '512×4K', why: 'PDE …067 → 0x0' });
  });

  test('large pages are told in bytes', () => {
    const large = { ...pageIn, pageSize: 2 ** 21, pages: 512 };
    expect(rowOfAlike([large, { ...large, va: 0n }, pageIn], false).size).toBe('4100K');
  });

  test('where there is room, the vCPU is named', () => {
    expect(rowOfAlike([entry(1, 0n, 1n), entry(2, 0n, 1n)], true).why).toBe('2 PTEs set cpu1');
  });
});
