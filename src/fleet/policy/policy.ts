/** The policy of an agent: what `ptmon agent --config FILE` takes (docs/fleet.md). */
import { basename } from 'node:path';
import * as v from 'valibot';
import { OPT_IN_KINDS } from '../../core/monitor/events.ts';
import { BROKER, folder, integer, text } from './broker.ts';

const names = v.pipe(v.array(text), v.minLength(1, 'an empty list'));

/** What is watched of the VMs that it names. The first rule that names a VM decides. */
const RULE = v.strictObject({
  /** Names of VMs, in which `*` stands for any text. Defaults to all. */
  vms: v.optional(names, ['*']),
  /** Names of processes, in which `*` stands for any text. Defaults to all. */
  processes: v.optional(names, ['*']),
  /** A part of their memory, as `--map` takes it. Defaults to all of it. */
  map: v.optional(
    v.pipe(
      text,
      v.check((value) => /^(?!0x)|^0x[0-9a-f]{1,16}$/i.test(value), 'not a hexadecimal address: 0x and 1 to 16 digits'),
    ),
  ),
  kinds: v.optional(v.array(v.picklist(OPT_IN_KINDS)), ['protection', 'root-gone']),
  /** `auto` is exact where the VM has a gdbstub and its accelerator allows it. */
  mode: v.optional(v.picklist(['auto', 'exact', 'sample']), 'sample'),
  intervalMs: v.optional(integer(1, 3_600_000), 100),
  /** Events above this rate are counted and left out. Defaults to no limit. */
  maxEventsPerSecond: v.optional(integer(1, 1_000_000)),
});

const TRACE = v.pipe(
  v.strictObject({
    file: text,
    /** Defaults to the name of the file without its suffix. */
    name: v.optional(text),
    /** 1 replays as fast as it happened. Defaults to no pauses. */
    speed: v.optional(v.pipe(v.number(), v.minValue(Number.MIN_VALUE, 'must be positive'))),
  }),
  v.transform((trace) => ({ ...trace, name: trace.name ?? basename(trace.file, '.trace') })),
);

export const POLICY = v.strictObject({
  version: v.literal(1),
  /** Defaults to the name of the host. */
  host: v.optional(v.pipe(text, v.maxLength(253, 'longer than 253 characters'))),
  /** Where events are kept. */
  folder,
  rules: v.pipe(v.array(RULE), v.minLength(1, 'an empty list: no VM would be watched')),
  /** Recordings that are replayed as VMs, for trials. */
  traces: v.optional(v.array(TRACE), []),
  scanSeconds: v.optional(integer(1, 3600), 5),
  /** Of the JavaScript heap of each VM's process. */
  memoryMiB: v.optional(integer(32, 65_536), 256),
  /** A file of events is complete after this time, or at this size. */
  fileSeconds: v.optional(integer(1, 86_400), 10),
  fileMiB: v.optional(integer(1, 1024), 8),
  /** Sends complete files of the journal to a broker, and keeps no archive. */
  broker: v.optional(BROKER),
  /** With a broker: files of the journal that wait for it have so much room. */
  spoolMiB: v.optional(integer(1, 2 ** 30), 1024),
  /** `parquet` moves complete files of the journal to the archive; `jsonl` leaves them. */
  format: v.optional(v.picklist(['parquet', 'jsonl']), 'parquet'),
  /** Days that stay in the archive. Defaults to all. */
  keepDays: v.optional(integer(1, 36_500)),
  http: v.optional(v.strictObject({ port: integer(0, 65_535) })),
});

/** What `ptmon archive --config FILE` takes. */
export const ARCHIVE_POLICY = v.strictObject({
  version: v.literal(1),
  /** Where events are kept. Several archivers may share it. */
  folder,
  broker: BROKER,
  /** How long events are collected before they become a file. */
  fileSeconds: v.optional(integer(1, 3600), 10),
  keepDays: v.optional(integer(1, 36_500)),
});

export type ArchivePolicy = v.InferOutput<typeof ARCHIVE_POLICY>;
export type Policy = v.InferOutput<typeof POLICY>;
export type WatchRule = v.InferOutput<typeof RULE>;
