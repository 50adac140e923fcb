/** Times of events, in seconds. */

/** Width of `  123.456`. */
export const TIME_COLUMNS = 9;

/** `  123.456`. */
export function timeText(timeUs: number): string {
  return (timeUs / 1e6).toFixed(3).padStart(TIME_COLUMNS);
}
