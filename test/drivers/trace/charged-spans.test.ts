import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ChargedSpans } from '../../../src/drivers/trace/replay/charged-spans.ts';

test('spans that overlap a new one are counted as one by one', () => {
  const span = fc.tuple(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 1, max: 12 }), fc.boolean());
  fc.assert(
    fc.property(fc.array(span, { maxLength: 60 }), (steps) => {
      const spans = new ChargedSpans();
      let plain: { start: bigint; end: bigint; charge: number }[] = [];
      for (const [index, [from, length, isAdded]] of steps.entries()) {
        const [start, end] = [BigInt(from), BigInt(from + length)];
        expect(spans.overlapping(start, end)).toBe(plain.filter((each) => each.start < end && start < each.end).length);
        if (isAdded) {
          spans.add(start, end, index + 1);
          plain.push({ start, end, charge: index + 1 });
        } else {
          const at = plain.findLastIndex((each) => each.start === start && each.end === end);
          expect(spans.remove(start, end)).toBe(plain[at]?.charge ?? 0);
          plain = plain.filter((_, each) => each !== at);
        }
        expect(spans.total).toBe(plain.reduce((sum, { charge }) => sum + charge, 0));
      }
    }),
  );
});

test('as many as a file may ask for take no time that grows with their square', () => {
  const spans = new ChargedSpans();
  const start = performance.now();
  let overlapping = 0;
  for (let n = 0n; n < 131_072n; n++) {
    overlapping += spans.overlapping(n * 8192n, n * 8192n + 4096n);
    spans.add(n * 8192n, n * 8192n + 4096n, 1);
  }
  expect(overlapping).toBe(0);
  // One by one it was minutes.
  expect(performance.now() - start).toBeLessThan(15_000);
});
