/** Replays a trace: what was watched then, or other addresses whose tables are in it. */
import { PtmonError } from '../../../core/error.ts';
import type { OptInKind } from '../../../core/monitor/events.ts';
import { rootOf } from '../../../core/paging/format.ts';
import { openTrace, type TraceAbout, type TraceDriver, type TraceInstant } from '../../../drivers/trace/index.ts';
import { openSession, type Session } from '../../../session/session.ts';
import { jsonlSink } from '../../../sinks/jsonl.ts';
import { printable } from '../../../sinks/printable.ts';
import type { TextOutput } from '../../../sinks/text-output.ts';
import { OPT_IN_KINDS } from '../../option-values.ts';
import type { AddressOption } from '../watch/address-option.ts';
import { OtherAddresses } from './other-addresses.ts';
import { replayView, type TimedNote } from './replay-view.ts';

export interface ReplayOptions {
  readonly json?: boolean;
  readonly speed?: number;
  readonly kinds?: readonly OptInKind[];
  /** Other addresses than were watched. */
  readonly va?: readonly AddressOption[];
  /** Of those: an address space; unless told, that of the first address that was watched. */
  readonly root?: 'current' | bigint;
}

/** @throws PtmonError `corrupt-input`, `not-recorded`, what the recorded session threw, or what `output` throws */
export async function runReplay(
  path: string,
  options: ReplayOptions,
  output: TextOutput,
  signal: AbortSignal,
): Promise<void> {
  const { json = false, speed, va } = options;
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
    sinks: [view ?? jsonlSink(output, { options: { ...about.options, ...(va && { replay: 'other addresses' }) } })],
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

/** Those of the kinds that were wanted then that are known now, in their order: the header of the JSONL says them in it. */
export function recordedKinds({ kinds }: TraceAbout): OptInKind[] {
  return kinds.filter((kind): kind is OptInKind => OPT_IN_KINDS.some((known) => known === kind));
}

/** What passes by while a trace is replayed. */
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

  /** Of the first address that was watched from the beginning on. */
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
  wanted: 'current' | bigint | undefined,
): number {
  if (wanted !== undefined && wanted !== 'current') return rootOf(monitor.paging, wanted);
  const root = wanted === undefined ? instants.firstRoot : undefined;
  if (root !== undefined) return rootOf(monitor.paging, root);
  if (registers !== undefined) return rootOf(monitor.paging, registers.readRegisters(0).cr3);
  throw new PtmonError('bad-argument', 'the trace does not say which address space is meant: give --root 0x…');
}

/** What was recorded, and how. */
export function introductionText(about: TraceAbout, mode: string): string {
  const { title, source, vcpuCount, startedAt } = about;
  const vcpus = vcpuCount === undefined ? '' : `, ${vcpuCount} ${vcpuCount === 1 ? 'vCPU' : 'vCPUs'}`;
  const day = startedAt.slice(0, 10);
  return [
    ...(title === '' ? [] : [printable(title)]),
    `Recorded${day === '' ? '' : ` on ${day}`} from ${printable(source)}: ${mode} paging${vcpus}.`,
    CAPTURE_TEXT[about.capture],
  ].join('\n');
}

const CAPTURE_TEXT: Readonly<Record<TraceAbout['capture'], string>> = {
  protection: 'Exact: each write to a watched table is in it.',
  traps: 'Exact: each write to a watched entry is in it.',
  samples: 'By samples: what changed and changed back in between is not in it.',
};
