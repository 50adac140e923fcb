/** Boots a guest, and watches a process of it that changes its memory all the time. */
import { setTimeout } from 'node:timers/promises';
import type { LaunchedGuest, LaunchOptions } from '../../../drivers/qemu/index.ts';
import { mapText } from '../../../linux/index.ts';
import type { Streams } from '../../context.ts';
import { runWatch } from '../../live/run-watch.ts';
import { openFittingSource } from '../../live/debug-registers.ts';
import { checkTimeOption, type LiveEventOptions } from '../../options/events.ts';
import { bootGuest } from './boot-guest.ts';
import { printStatus } from '../../output/status-lines.ts';

export interface RunOptions extends LaunchOptions, LiveEventOptions {
  /** Milliseconds between two changes of the workload. */
  readonly pace?: number;
  /** False only boots the guest. */
  readonly watch?: boolean;
}

/** Pages that the workload changes by itself. */
const PAGES = 8;

/**
 * Ends with the guest, or with the watch.
 *
 * @returns whether QEMU agreed with all that it verified
 * @throws PtmonError as `bootGuest` and `runWatch`
 */
export async function runGuest(options: RunOptions, streams: Streams, signal: AbortSignal): Promise<boolean> {
  checkTimeOption(options);
  const say = (line: string) => printStatus(streams.messages, line);
  // A command to copy: it is never wrapped.
  const showCommand = (line: string) => streams.messages.write(`  ${line}\n`);
  const { guest, root } = await bootGuest(options, say, signal);
  try {
    const { firstVa, pid } = await guest.workload.ready();
    const { map } = options;
    const begin = map === undefined ? play : playWithHeap;
    const sockets = `--qmp ${guest.qmpPath} --gdb ${guest.gdbPath}`;
    if (options.watch === false) {
      void begin(guest, options.pace);
      await say('Watch it from another terminal:');
      await showCommand(`ptmon watch ${sockets} --comm workload`);
      await untilEither(guest.ended, signal);
      if (!signal.aborted) await say(`The guest has ended: ${await guest.ended}.`);
      return true;
    }
    const what =
      map === undefined
        ? `--root 0x${root.toString(16)} --va 0x${firstVa.toString(16)}+${PAGES * 4}K=workload`
        : `--pid ${pid} --map ${mapText(map)}`;
    await say('Watching as this command would:');
    await showCommand(`ptmon watch ${sockets} ${what}`);
    const va = [{ va: firstVa, byteLength: BigInt(PAGES * 4096), tag: 'workload' }];
    const target = map === undefined ? { root, va } : { root: 'current' as const, pid, map };
    const choice = { mode: 'exact', qmp: guest.qmpPath, gdb: guest.gdbPath } as const;
    const { types } = guest.kernel;
    const watch = { ...options, ...target, ...(types !== undefined && { btf: types }) };
    const source = await openFittingSource(choice, watch, signal, say);
    const onStart = () => void begin(guest, options.pace);
    return await runWatch(source, watch, streams, { signal, onStart });
  } finally {
    await guest.stop();
  }
}

/** A debugger may keep the guest stopped for long. */
const STOPPED_MS = 2 ** 31 - 1;

/** Touches, protects, unmaps and maps pages again, one after the other, until the guest ends. */
async function play({ workload }: LaunchedGuest, paceMs = 200): Promise<void> {
  // The watch reports that the guest has ended.
  await workload.command(`play ${paceMs}`, { timeoutMs: STOPPED_MS }).catch(() => {});
}

/** Grows and shrinks the heap until the guest ends. */
async function playWithHeap({ workload }: LaunchedGuest, paceMs = 200): Promise<void> {
  try {
    for (;;) {
      for (const command of ['heap 4', 'heap back']) {
        await workload.command(command, { timeoutMs: STOPPED_MS });
        await setTimeout(paceMs, undefined, { ref: false });
      }
    }
  } catch {
    // The watch reports that the guest has ended.
  }
}

async function untilEither(ended: Promise<unknown>, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await Promise.race([ended, new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))]);
}
