/**
 * Binary search: how many of the indices below `count` come before a point.
 *
 * @param isBefore true up to the point, false from there on
 */
export function partitionPoint(count: number, isBefore: (index: number) => boolean): number {
  let [low, high] = [0, count];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isBefore(middle)) low = middle + 1;
    else high = middle;
  }
  return low;
}
