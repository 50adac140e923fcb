/** Says in events what the entries behind them mean to Linux, where they are not present. */
import type { Cause, MonitorEvent } from '../../core/monitor/events.ts';
import { type EntryFormat, meaningOf } from '../entries/entry-meaning.ts';
import { type EntryContext, shortWords } from '../entries/meaning-words.ts';

/** The event, with words for the values of its cause that are not present and not 0. */
export function withMeanings<Event extends MonitorEvent>(
  format: EntryFormat,
  event: Event,
  context: EntryContext = {},
): Event {
  const { cause } = event;
  if (cause === null) return event;
  const words = (value: bigint): string | undefined => {
    const meaning = value === 0n ? undefined : meaningOf(format, value, cause.level);
    return meaning && shortWords(meaning, context);
  };
  const [oldMeaning, newMeaning] = [words(cause.oldValue), words(cause.newValue)];
  if (oldMeaning === undefined && newMeaning === undefined) return event;
  const said: Cause = {
    ...cause,
    ...(oldMeaning !== undefined && { oldMeaning }),
    ...(newMeaning !== undefined && { newMeaning }),
  };
  return { ...event, cause: said };
}
