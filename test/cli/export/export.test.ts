import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { bundledTrace } from '../../../src/cli/commands/demo/bundled-traces.ts';
import { temporaryFolder } from '../../drivers/trace/temporary-folder.ts';
import { definitions, messageType } from '../../sinks/timeline/perfetto-definitions.ts';
import { parse, run } from '../run.ts';

const file = temporaryFolder();
const timeout = 60_000;
const tour = bundledTrace('tour');
const types = ['--kinds', 'protection,restructure'];

interface Packet {
  readonly timestamp: string;
  readonly trusted_packet_sequence_id: number;
  readonly track_descriptor?: {
    readonly uuid: string;
    readonly name: string;
    readonly parent_uuid?: string;
    readonly process?: { readonly pid: number; readonly process_name: string };
    readonly counter?: { readonly unit: string };
  };
  readonly track_event?: {
    readonly type: string;
    readonly track_uuid: string;
    readonly name?: string;
    readonly counter_value?: string;
    readonly debug_annotations?: readonly { readonly name: string; readonly string_value?: string }[];
  };
}

/** Events as the replay says them. */
async function eventsOf(path: string): Promise<Record<string, unknown>[]> {
  const lines = parse((await run(['replay', path, '--json', ...types])).stdout);
  return lines.filter(({ seq }) => seq !== undefined);
}

function pagesOf(events: readonly Record<string, unknown>[], kind: string): number {
  return events.filter((event) => event['kind'] === kind).reduce((sum, { pages = 1 }) => sum + Number(pages), 0);
}

async function exported(path: string, format: string): Promise<Buffer> {
  const output = file(`out.${format}`);
  expect(await run(['export', path, '--format', format, '--output', output])).toEqual({
    code: 0,
    stdout: '',
    stderr: '',
  });
  return readFileSync(output);
}

describe('perfetto', { timeout }, () => {
  const trace = messageType(definitions(), 'Trace');

  function packetsOf(bytes: Buffer): Packet[] {
    const decoded = trace.decode(bytes);
    // Nothing was there that the definitions do not have: what is left out makes it shorter.
    expect(trace.encode(decoded).finish().length).toBe(bytes.length);
    return (trace.toObject(decoded, { longs: String, enums: String }) as { packet: Packet[] }).packet;
  }

  test('is what Perfetto’s definitions allow, and every event is on a track that is described before it', async () => {
    const packets = packetsOf(await exported(tour, 'perfetto'));
    const described = new Map<string, NonNullable<Packet['track_descriptor']>>();
    for (const { track_descriptor: descriptor, track_event: event, trusted_packet_sequence_id: sequence } of packets) {
      expect(sequence).toBe(1);
      if (descriptor !== undefined) {
        expect(described.has(descriptor.uuid)).toBe(false);
        if (descriptor.parent_uuid !== undefined) expect(described.has(descriptor.parent_uuid)).toBe(true);
        described.set(descriptor.uuid, descriptor);
      }
      if (event === undefined) continue;
      const track = described.get(event.track_uuid);
      expect(track).toBeDefined();
      // Counter tracks take counters, and others do not.
      expect(event.type === 'TYPE_COUNTER').toBe(track!.counter !== undefined);
      expect(event.counter_value !== undefined).toBe(track!.counter !== undefined);
    }
    const names = [...described.values()];
    expect(names.find(({ process }) => process?.process_name.startsWith('workload['))?.process?.pid).toBeGreaterThan(1);
    const stage = names.find(({ name }) => name === '0x100000000000 stage');
    expect(described.get(stage!.parent_uuid!)?.process?.process_name).toMatch(/^workload\[/);
    expect(names.filter(({ counter }) => counter !== undefined).map(({ name }) => name)).toEqual([
      'pages in memory',
      'events a second',
    ]);
  });

  test('shows what happened: each page that came and went, causes, notes', async () => {
    const packets = packetsOf(await exported(tour, 'perfetto'));
    const events = await eventsOf(tour);
    const of = (type: string) => packets.filter(({ track_event: event }) => event?.type === type);
    const begins = of('TYPE_SLICE_BEGIN');
    expect(begins.filter(({ track_event: event }) => event!.name !== 'in memory').length).toBe(
      pagesOf(events, 'page-in'),
    );
    expect(of('TYPE_SLICE_END').length).toBe(begins.length);
    const huge = begins.find(({ track_event: event }) => event!.name?.endsWith(' 2M'));
    expect(huge!.track_event!.debug_annotations!.map(({ name }) => name)).toEqual(['frame', 'pageSize']);
    const instants = of('TYPE_INSTANT').map(({ track_event: event }) => event!.name!);
    expect(instants.filter((name) => /^P[TD]E 0x[0-9a-f]+ → 0x[0-9a-f]+$/.test(name)).length).toBeGreaterThan(1000);
    expect(instants).toContain('munmap');

    // Each track alternates, once it is sorted by time as Perfetto does.
    const open = new Map<string, boolean>();
    const slices = packets.filter(({ track_event: event }) => event?.type.startsWith('TYPE_SLICE'));
    for (const { track_event: event } of slices.toSorted((a, b) => Number(a.timestamp) - Number(b.timestamp))) {
      const isBegin = event!.type === 'TYPE_SLICE_BEGIN';
      expect(open.get(event!.track_uuid) ?? false).toBe(!isBegin);
      open.set(event!.track_uuid, isBegin);
    }
    const rates = of('TYPE_COUNTER').map(({ track_event: event }) => Number(event!.counter_value));
    expect(Math.max(...rates)).toBeGreaterThan(100);
  });

  test('is not for terminals', async () => {
    const { code, stdout, stderr } = await run(['export', tour, '--format', 'perfetto'], { isTTY: true });
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain('--output FILE');
  });
});

test('chrome: JSON in which spans open and close, below names', { timeout }, async () => {
  const { traceEvents } = JSON.parse((await exported(tour, 'chrome')).toString()) as {
    traceEvents: { ph: string; name?: string; pid: number; tid?: number; ts?: number; args?: { name?: string } }[];
  };
  const events = await eventsOf(tour);
  const of = (ph: string) => traceEvents.filter((event) => event.ph === ph);
  expect(of('B').filter(({ name }) => name !== 'in memory').length).toBe(pagesOf(events, 'page-in'));
  expect(of('E').length).toBe(of('B').length);
  const threads = new Set(of('M').flatMap(({ name, pid, tid }) => (name === 'thread_name' ? [`${pid} ${tid}`] : [])));
  for (const { pid, tid } of [...of('B'), ...of('E'), ...of('i')]) expect(threads.has(`${pid} ${tid}`)).toBe(true);
  expect(of('C').map(({ name }) => name)).toEqual(expect.arrayContaining(['pages in memory', 'events a second']));
  for (const { ts } of [...of('B'), ...of('i'), ...of('C')]) expect(ts).toBeGreaterThanOrEqual(0);
});

test('csv: a line for each event, with its time', { timeout }, async () => {
  const { code, stdout } = await run(['export', tour, '--format', 'csv']);
  expect(code).toBe(0);
  const [header, ...lines] = stdout.trimEnd().split('\r\n');
  const columns = header!.split(',');
  expect(columns.slice(0, 5)).toEqual(['time_us', 'kind', 'view', 'root', 'va']);
  const events = await eventsOf(tour);
  expect(lines.length).toBe(events.length);
  let last = 0;
  for (const [index, line] of lines.entries()) {
    const cells = line.split(',');
    expect(cells.length).toBe(columns.length);
    const row = Object.fromEntries(columns.map((column, at) => [column, cells[at]]));
    expect([row['kind'], row['va']]).toEqual([events[index]!['kind'], events[index]!['va']]);
    expect(Number(row['time_us'])).toBeGreaterThanOrEqual(last);
    last = Number(row['time_us']);
  }
});

describe('a wrong command line or file', { timeout }, () => {
  test.each([
    [['export', tour], 2, '--format <format> is missing'],
    [['export', tour, '--format', 'xml'], 2, 'perfetto, chrome, csv'],
    [['export', file('none'), '--format', 'csv'], 3, 'none does not exist'],
    [['export', tour, '--format', 'csv', '--output', file('none/x')], 2, 'none/x: cannot be written (ENOENT)'],
    [['export', tour, '--format', 'csv', '--output', file('')], 2, 'cannot be written (EISDIR)'],
  ])('%j', async (args, expected, why) => {
    const { code, stderr } = await run(args);
    expect(code).toBe(expected);
    expect(stderr).toContain(why);
  });

  test('a trace that was cut is exported as far as it goes', async () => {
    const cut = file('cut.trace');
    const whole = readFileSync(bundledTrace('fork'));
    writeFileSync(cut, whole.subarray(0, whole.length - 3000));
    const { code, stdout, stderr } = await run(['export', cut, '--format', 'csv']);
    expect(code).toBe(4);
    expect(stdout.split('\r\n').length).toBeGreaterThan(100);
    expect(stderr).toContain('at byte');
  });
});

describe('what was there', { timeout }, () => {
  test('the trace itself is not written over', async () => {
    const trace = file('own.trace');
    copyFileSync(tour, trace);
    expect(await run(['export', trace, '--format', 'csv', '--output', trace])).toMatchObject({ code: 2, stdout: '' });
    expect(readFileSync(trace)).toEqual(readFileSync(tour));
  });

  test('nor is another file, for what is no trace', async () => {
    const output = file('kept.csv');
    writeFileSync(output, 'kept');
    const { code } = await run(['export', file('none.trace'), '--format', 'csv', '--output', output]);
    expect({ code, text: readFileSync(output, 'utf8') }).toEqual({ code: 3, text: 'kept' });
  });

  test('notes of the first instant are shown', async () => {
    expect((await exported(tour, 'chrome')).toString()).toContain('a shell is started');
  });
});
