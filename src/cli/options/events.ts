/** The options of commands that print events: of a recorded, a simulated or a live guest. */
import { type Command, Option } from 'commander';
import { PtmonError } from '../../core/error.ts';
import { OPT_IN_KINDS, type OptInKind } from '../../core/monitor/events.ts';
import type { MapChoice } from '../../linux/index.ts';
import { mapOption } from './map-choice.ts';
import { listOf, positiveNumber, seconds, wholeNumber } from './values.ts';

const STALL_CHOICES = ['wait', 'drop', 'detach'] as const;

/** `wait`: the guest waits for the reader. `drop`: events are dropped until it reads again. `detach`: the watch ends. */
export type StallChoice = (typeof STALL_CHOICES)[number];

export interface EventOptions {
  readonly kinds?: readonly OptInKind[];
  readonly json?: boolean;
  /** Of the lines of JSON: when the guest stopped. */
  readonly time?: boolean;
}

/** Of a guest that is watched live. */
export interface LiveEventOptions extends EventOptions {
  readonly map?: MapChoice;
  /** Seconds. */
  readonly duration?: number;
  /** Events. */
  readonly count?: number;
  /** The file of a trace. */
  readonly record?: string;
  /** Overwrites a file that is not a trace. */
  readonly force?: boolean;
  readonly verify?: boolean;
  /** What happens when nobody reads the output. */
  readonly onStall?: StallChoice;
  /** A line for each event. */
  readonly each?: boolean;
}

export function addJsonOption(command: Command): Command {
  return command.option('--json', 'print JSON lines instead of text');
}

export function addEventOptions(command: Command): Command {
  return addJsonOption(
    command.option(
      '--kinds <kinds>',
      `also report changed rights, changed page sizes and ended address spaces: ${OPT_IN_KINDS.join(',')}`,
      listOf(OPT_IN_KINDS),
    ),
  );
}

export function addTimeOption(command: Command): Command {
  return command.option('--time', 'with --json: add to each line the time at which the guest stopped');
}

/** @throws PtmonError `bad-argument` for `--time` without `--json` */
export function checkTimeOption({ time = false, json = false }: EventOptions): void {
  if (time && !json) throw new PtmonError('bad-argument', '--time needs --json: text has a column of seconds anyway');
}

export function addSpeedOption(command: Command): Command {
  return command.option(
    '--speed <n>',
    '1 replays at the recorded speed, 2 twice as fast; defaults to no pauses at all',
    positiveNumber,
  );
}

export function addRecordOption(command: Command): Command {
  return command
    .option('--record <file>', 'also write a trace, for ptmon replay')
    .option('--force', 'with --record: overwrite a file that is not a trace');
}

export function addLiveEventOptions(command: Command): Command {
  addTimeOption(addEventOptions(command));
  command
    .option('--each', 'print a line for each event; otherwise similar events share a line')
    .option(
      '--map <map>',
      'watch only this area of a process: heap, stack, anon, a FILE, or the area at 0x…',
      mapOption,
    )
    .option('--duration <time>', 'stop after this time: 90, 90s, 5m, 2h', seconds)
    .option('--count <n>', 'stop after this many events', wholeNumber(1, 1e9));
  command.addOption(
    new Option(
      '--on-stall <what>',
      'when nobody reads the output: the guest waits (wait), events are dropped (drop), or the watch ends (detach)',
    )
      .choices(STALL_CHOICES)
      .default('wait'),
  );
  return addRecordOption(command).option(
    '--verify',
    "compare every watched address with QEMU's own translation at each stop",
  );
}
