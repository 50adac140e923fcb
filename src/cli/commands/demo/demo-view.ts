/** The demo as text: events beside what the guest was doing, and the totals. */
import type { Guest } from '../../../testing/index.ts';
import { lostText } from '../../../sinks/console/console.ts';
import { printable } from '../../../sinks/printable.ts';
import type { Sink, Summary } from '../../../sinks/sink.ts';
import type { TextOutput } from '../../../sinks/text-output.ts';
import { EventFrame } from '../../output/event-frame.ts';
import { type EventGroup, EventGroups } from './event-groups.ts';

/** The longest action, `collapse`. */
const ACTION_COLUMNS = 8;

export interface DemoViewOptions {
  readonly output: TextOutput;
  readonly guest: Guest;
  /** Lines before the first event. Called when it comes. */
  readonly introduction: () => string;
}

export function demoView({ output, guest, introduction }: DemoViewOptions): Sink {
  const lead = { name: 'guest', columns: ACTION_COLUMNS };
  const frame = new EventFrame({ output, lead, introduction, tallyName: 'guest' });
  const groups = new EventGroups(guest);
  const text = (complete: readonly EventGroup[]): string =>
    complete
      .flatMap(({ action, alike }) =>
        alike.map((events, index) => frame.line(events, index === 0 ? (action?.action ?? '') : '')),
      )
      .join('');
  return {
    write(event) {
      frame.count(event, groups.actionOf(event)?.action ?? 'unknown');
      const lines = frame.introduce() + text(groups.add(event));
      return lines === '' ? undefined : output.write(lines);
    },
    async end(summary) {
      await output.write(frame.introduce() + text(groups.end()));
      await output.write(frame.totals(summary, totalLines(summary, frame.seconds)));
      await output.flush();
    },
  };
}

function totalLines(summary: Summary, seconds: number): string[] {
  const { ended, failure, writes } = summary;
  return [
    `${writes} trapped writes, ${lostText(summary)}, ${seconds.toFixed(2)} s`,
    ...(ended === 'stopped' ? ['stopped before the end'] : []),
    ...(failure === undefined ? [] : [`failed: ${printable(failure.message)}`]),
  ];
}
