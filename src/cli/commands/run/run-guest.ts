/** Boots a guest, and watches a process of it that plays with its memory. */
import { setTimeout } from 'node:timers/promises';
import type { OptInKind } from '../../../core/monitor/events.ts';
import { type LaunchedGuest, type LaunchOptions, openQemu } from '../../../drivers/qemu/index.ts';
import type { MapChoice } from '../../../linux/index.ts';
import { mapText } from '../watch/map-option.ts';
import { runWatch, type WatchStreams } from '../watch/run-watch.ts';
import { exactly, noticeLine } from '../watch/source.ts';
import { bootGuest } from './boot-guest.ts';

export interface RunOptions extends LaunchOptions {
  readonly json?: boolean;
  readonly verify?: boolean;
  readonly kinds?: readonly OptInKind[];
  /** The file of a trace. */
  readonly record?: string;
  /** Seconds. */
  readonly duration?: number;
  /** Events. */
  readonly count?: number;
  /** Milliseconds between two changes of the workload. */
  readonly pace?: number;
  /** False leaves the guest to others to watch. */
  readonly watch?: boolean;
  /** Of the workload's memory; what it plays with most unless told. */
  readonly map?: MapChoice;
}

/** Pages that the workload plays with, and nobody else. */
const PAGES = 8;

/**
 * Ends with the guest, or with the watch.
 *
 * @returns whether QEMU agreed with all that it was asked to verify
 * @throws PtmonError as `bootGuest` and `runWatch`
 */
export async function runGuest(options: RunOptions, streams: WatchStreams, signal: AbortSignal): Promise<boolean> {
  const say = (line: string) => streams.messages.write(`${line}\n`);
  const { guest, root } = await bootGuest(options, say, signal);
  try {
    const { firstVa, pid } = await guest.workload.ready();
    const sockets = `--qmp ${guest.qmpPath} --gdb ${guest.gdbPath}`;
    const range = `0x${firstVa.toString(16)}+${PAGES * 4}K`;
    if (options.watch === false) {
      void play(guest, options.pace);
      await say(`Watch it from another terminal:\n  ptmon watch ${sockets} --comm workload`);
      await untilEither(guest.ended, signal);
      if (!signal.aborted) await say(`The guest has ended: ${await guest.ended}.`);
      return true;
    }
    const what =
      options.map === undefined
        ? `--root 0x${root.toString(16)} --va ${range}=workload`
        : `--pid ${pid} --map ${mapText(options.map)}`;
    await say(`ptmon watch ${sockets} ${what}`);
    const source = exactly(
      await openQemu({
        qmp: guest.qmpPath,
        gdb: guest.gdbPath,
        signal,
        onNotice: (notice) => void say(noticeLine(notice)),
      }),
    );
    const va = [{ va: firstVa, byteLength: BigInt(PAGES * 4096), tag: 'workload' }];
    const target = options.map === undefined ? { root, va } : { root: 'current' as const, pid, map: options.map };
    const begin = options.map === undefined ? play : playWithHeap;
    return await runWatch(source, { ...options, ...target }, streams, signal, () => void begin(guest, options.pace));
  } finally {
    await guest.stop();
  }
}

/** Touches, protects, unmaps and maps pages again, one after the other, until the guest ends. */
async function play({ workload }: LaunchedGuest, paceMs = 200): Promise<void> {
  // That the guest has ended is told by the watch.
  await workload.command(`play ${paceMs}`, { timeoutMs: 2 ** 31 - 1 }).catch(() => {});
}

/** Lets the heap grow and shrink again, until the guest ends. */
async function playWithHeap({ workload }: LaunchedGuest, paceMs = 200): Promise<void> {
  try {
    for (;;) {
      for (const command of ['heap 4', 'heap back']) {
        await workload.command(command);
        await setTimeout(paceMs, undefined, { ref: false });
      }
    }
  } catch {
    // That the guest has ended is told by the watch.
  }
}

async function untilEither(ended: Promise<unknown>, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await Promise.race([ended, new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))]);
}
