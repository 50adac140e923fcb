/**
 * How fast this machine is just now: random look-ups per second in a `Map` of 100,000 numbers. It stands beside every
 * figure, taken in the same process right before and right after, so that figures of different machines and moments can be
 * compared: a rate divided by its calibration and multiplied by `REFERENCE_CALIBRATION` is what the reference would give.
 *
 * The keys are drawn in the loop, the obvious way. Drawn beforehand they would make it 1.8 times as
 * fast, and every scaled figure that much smaller.
 */
import { workedMs } from './clock.ts';
import { median } from './statistics.ts';

/** Look-ups per second beside the figures of the Rust implementation. */
export const REFERENCE_CALIBRATION = 25e6;

const NUMBERS = 100_000;
const LOOK_UPS = 1 << 17;
const WARM_UP_ROUNDS = 10;
const ROUNDS = 15;

const numbers = new Map<number, number>();
for (let number = 0; number < NUMBERS; number++) numbers.set(number, number);

/** Look-ups per second: the median of 15 rounds of some 5 ms. */
export function calibrate(): number {
  const rates: number[] = [];
  for (let round = -WARM_UP_ROUNDS; round < ROUNDS; round++) {
    const start = workedMs();
    const sum = lookUp(numbers);
    const seconds = (workedMs() - start) / 1000;
    if (sum < 0) throw new Error('a sum of indices is below zero');
    if (round >= 0) rates.push(LOOK_UPS / seconds);
  }
  return median(rates);
}

function lookUp(map: ReadonlyMap<number, number>): number {
  let sum = 0;
  for (let count = 0; count < LOOK_UPS; count++) sum += map.get(Math.floor(Math.random() * NUMBERS))!;
  return sum;
}
