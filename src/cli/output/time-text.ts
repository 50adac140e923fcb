/** Times of events, in seconds. */

/** Width of ` 123.456`. */
export const TIME_COLUMNS = 8;
export const TIME_NAME = ' seconds';

/** ` 123.456`; after hours, with fewer decimals. */
export function timeText(timeUs: number): string {
  return (timeUs / 1e6).toFixed(3).slice(0, TIME_COLUMNS).replace(/\.$/, '').padStart(TIME_COLUMNS);
}
