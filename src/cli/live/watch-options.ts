/** The options of a watch, and every refusal of options that contradict each other: all of it before anything is opened. */
import { PtmonError } from '../../core/error.ts';
import type { MonitorEvent } from '../../core/monitor/events.ts';
import type { AddressOption, RootOption } from '../options/address.ts';
import { checkTimeOption, type LiveEventOptions } from '../options/events.ts';
import type { LiveOptions, SpaceOptions } from '../options/source.ts';
import { countPages, MAX_VERIFIED_PAGES } from './watched-addresses.ts';

/**
 * Exact: the guest stops after each write to a watched entry. Plugin: a plugin of QEMU records each of them. Sample: memory is read at
 * intervals while the guest runs.
 */
export type WatchMode = 'exact' | 'plugin' | 'sample';

export interface SourceOptions extends LiveOptions, Pick<SpaceOptions, 'paging'> {
  readonly mode?: WatchMode;
  /** The socket of QEMU's plugin. */
  readonly plugin?: string;
  /** Milliseconds between two samples. */
  readonly interval?: number;
  /** Whether the kernel is to note writes to tables; defaults to true. */
  readonly proof?: boolean;
  readonly maxWatchpoints?: number;
}

/** What is watched: processes of a Linux guest, or addresses. */
export interface TargetOptions extends LiveEventOptions {
  readonly pid?: number;
  /** A name; or names in which `*` stands for any text. */
  readonly comm?: string | readonly string[];
  readonly va?: readonly AddressOption[];
  readonly root: RootOption;
  /** A file of the kernel's types. */
  readonly btf?: string;
}

export interface WatchOptions extends SourceOptions, TargetOptions {
  /** Events at which the watch ends, and the guest stays stopped. */
  readonly on?: readonly MonitorEvent['kind'][];
  readonly stop?: boolean;
  /** Folder for the content of pages. */
  readonly dumpPages?: string;
}

/** Where the guest is, once the options are known to make sense. */
export type SourceChoice =
  | { readonly mode: 'exact'; readonly qmp: string; readonly gdb: string }
  | {
      readonly mode: 'plugin';
      readonly qmp: string;
      readonly plugin: string;
      readonly memory: 'auto' | 'file' | 'process';
    }
  | { readonly mode: 'sample'; readonly qmp: string; readonly memory: 'auto' | 'file' | 'process' }
  | { readonly mode: 'sample'; readonly ramFile: string };

/** @throws PtmonError `bad-argument` for options that are missing or contradict each other */
export function checkWatchOptions(options: WatchOptions): SourceChoice {
  checkTimeOption(options);
  checkTargets(options);
  const choice = chooseSource(options);
  if (choice.mode === 'plugin' && options.va === undefined)
    throw refusal('--mode plugin watches addresses: give --root and --va (ptmon ps prints the roots of processes)');
  checkStop(options, choice);
  const { verify, va = [] } = options;
  if (verify === true) {
    if (choice.mode !== 'exact') throw refusal('--verify compares at each stop of the guest: it needs --mode exact');
    checkVerifiable(va);
  }
  return choice;
}

/** @throws PtmonError `bad-argument` for more pages than QEMU translates in reasonable time */
export function checkVerifiable(addresses: readonly AddressOption[]): void {
  const pages = countPages(addresses);
  if (pages > MAX_VERIFIED_PAGES) {
    throw refusal(`--verify takes at most ${MAX_VERIFIED_PAGES} pages, not ${pages}`);
  }
}

function checkTargets({ va, pid, comm, map, verify }: TargetOptions): void {
  const targets = [va, pid, comm].filter((target) => target !== undefined);
  if (targets.length === 0) throw refusal('nothing to watch: give --pid, --comm or --va');
  if (targets.length > 1) throw refusal('--pid, --comm and --va exclude each other: give one of them');
  if (va !== undefined && map !== undefined)
    throw refusal('--map selects memory of a process: it needs --pid or --comm');
  if (va === undefined && verify === true) {
    throw refusal('--verify needs --va: with --pid or --comm, the watched addresses change');
  }
}

function checkStop({ on, stop = false }: WatchOptions, { mode }: SourceChoice): void {
  if (on !== undefined && !stop) throw refusal('--on says at which events to stop: it needs --stop');
  if (!stop) return;
  if (on === undefined) throw refusal('--stop needs --on: give the kinds of events, as in --on page-in');
  if (mode !== 'exact') throw refusal('--stop leaves the guest where an event happened: it needs --mode exact');
}

function defaultMode({ plugin, gdb }: SourceOptions): WatchMode {
  if (plugin !== undefined) return 'plugin';
  return gdb === undefined ? 'sample' : 'exact';
}

function chooseSource(options: SourceOptions): SourceChoice {
  const { qmp, gdb, ramFile, memory = 'auto', paging, plugin, mode = defaultMode(options) } = options;
  if (mode === 'plugin') return choosePlugin(options);
  if (plugin !== undefined) throw refusal(`--plugin has no effect in ${mode} mode: use --mode plugin, or drop it`);
  if (mode === 'exact') {
    if (options.interval !== undefined)
      throw refusal('--interval has no effect in exact mode: use --mode sample, or drop it');
    if (qmp !== undefined && gdb !== undefined) return { mode, qmp, gdb };
    throw refusal(
      '--mode exact needs --qmp, and --gdb of a QEMU that was started with -gdb; --mode sample needs only --qmp or --ram-file',
    );
  }
  if (options.maxWatchpoints !== undefined) throw refusal('--max-watchpoints has no effect in sample mode: drop it');
  if (qmp !== undefined) {
    if (options.ramMap !== undefined)
      throw refusal('--ram-map is for --ram-file without --qmp: QEMU reports where RAM is');
    if (memory === 'gdb') throw refusal('--memory gdb pauses the guest: it cannot be used with --mode sample');
    return { mode, qmp, memory };
  }
  if (ramFile === undefined) throw refusal('no guest: give --vm, --qmp and --gdb, or --ram-file');
  if (paging === undefined) throw refusal('--ram-file has no registers: give the paging mode with --paging, or --qmp');
  return { mode, ramFile };
}

function choosePlugin({ qmp, plugin, memory = 'auto', interval, maxWatchpoints }: SourceOptions): SourceChoice {
  if (interval !== undefined || maxWatchpoints !== undefined)
    throw refusal('--interval and --max-watchpoints have no effect in plugin mode: drop them');
  if (memory === 'gdb') throw refusal('--memory gdb pauses the guest: it cannot be used with --mode plugin');
  if (qmp !== undefined && plugin !== undefined) return { mode: 'plugin', qmp, plugin, memory };
  throw refusal(
    "--mode plugin needs --qmp, and --plugin with the socket of QEMU's plugin (ptmon doctor --help says how to build and load it)",
  );
}

function refusal(message: string): PtmonError {
  return new PtmonError('bad-argument', message);
}
