/** Replays a trace: the recorded watches, or other addresses whose tables it contains. */
import { PtmonError } from '../../core/error.ts';
import { rootOf } from '../../core/paging/format.ts';
import { openTrace, type TraceDriver, type TraceInstant } from '../../drivers/trace/index.ts';
import { openSession, type Session } from '../../session/session.ts';
import { jsonlSink } from '../../sinks/jsonl.ts';
import type { TextOutput } from '../../sinks/text-output.ts';
import type { AddressOption, RootOption } from '../options/address.ts';
import { checkTimeOption, type EventOptions } from '../options/events.ts';
import { introductionText, recordedKinds } from './about-text.ts';
import { OtherAddresses } from './other-addresses.ts';
import { replayView, type TimedNote } from './replay-view.ts';

export interface ReplayOptions extends EventOptions {
  readonly speed?: number;
  /** Other addresses than the recorded ones. */
  readonly va?: readonly AddressOption[];
  /** Their address space; defaults to that of the first recorded watch. */
  readonly root?: RootOption;
}

/** @throws PtmonError `corrupt-input`, `not-recorded`, the error of the recorded session, or what `output` throws */
export async function runReplay(
  path: string,
  options: ReplayOptions,
  output: TextOutput,
  signal: AbortSignal,
): Promise<void> {
  checkTimeOption(options);
  const { json = false, time = false, speed, va } = options;
  const instants = new InstantLog();
  const { driver, script } = openTrace(path, {
    repeat: va === undefined,
    ...(speed !== undefined && { speed }),
    onInstant: (instant) => instants.add(instant),
  });
  const { about } = driver;
  const view = json
    ? undefined
    : replayView({
        output,
        timeUs: () => driver.timeUs,
        takeNotes: () => instants.takeNotes(),
        introduction: () => introductionText(about, session.monitor.paging.mode.name),
      });
  const session = await openSession({
    driver,
    script,
    kinds: options.kinds ?? recordedKinds(about),
    sinks: [
      view ?? jsonlSink(output, { options: { ...about.options, ...(va && { replay: 'other addresses' }) }, time }),
    ],
    signal,
    onBatch: async () => {
      await view?.showNotes();
      if (instants.hasNewTables) await others?.begin();
    },
  });
  let others: OtherAddresses | undefined;
  try {
    if (va !== undefined) {
      others = new OtherAddresses(session, otherRoot(session, driver, instants, options.root), va);
      await others.begin();
    }
    await session.run();
    others?.check();
  } finally {
    await session.close();
  }
}

/** Remembers what the replayed instants contain. */
class InstantLog {
  #notes: TimedNote[] = [];
  #first: TraceInstant | undefined;
  #last: TraceInstant | undefined;

  add(instant: TraceInstant): void {
    this.#first ??= instant;
    this.#last = instant;
    for (const step of instant.steps) {
      if (step.type === 'note') this.#notes.push({ timeUs: instant.timeUs, text: step.text });
    }
  }

  takeNotes(): readonly TimedNote[] {
    const notes = this.#notes;
    if (notes.length > 0) this.#notes = [];
    return notes;
  }

  get hasNewTables(): boolean {
    return this.#last?.state.some(({ type }) => type === 'table') === true;
  }

  /** The root of the first watch. */
  get firstRoot(): bigint | undefined {
    for (const step of this.#first?.steps ?? []) {
      if (step.type === 'call' && 'root' in step.call) return step.call.root;
    }
    return undefined;
  }
}

function otherRoot(
  { monitor }: Session,
  { registers }: TraceDriver,
  instants: InstantLog,
  wanted: RootOption | undefined,
): number {
  if (wanted !== undefined && wanted !== 'current') return rootOf(monitor.paging, wanted);
  const root = wanted === undefined ? instants.firstRoot : undefined;
  if (root !== undefined) return rootOf(monitor.paging, root);
  if (registers !== undefined) return rootOf(monitor.paging, registers.readRegisters(0).cr3);
  throw new PtmonError('bad-argument', 'the trace has no watch and no registers, so no address space: give --root 0x…');
}
