/** The tables that the plugin records, where a snapshot, a write and the guest come in an order of their own. */
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { ACCESS_ALL, ACCESS_WRITE } from '../../../../src/core/memory/page-access.ts';
import { GuestEnd } from '../../../../src/drivers/qemu/guest-end.ts';
import { PluginConnection } from '../../../../src/drivers/qemu/plugin/connection.ts';
import { type PluginRecord, RecordDecoder, SNAPSHOT, WRITE } from '../../../../src/drivers/qemu/plugin/protocol.ts';
import { RecordedTables } from '../../../../src/drivers/qemu/plugin/tables.ts';
import { HELLO_RECORD, peer, record } from './peer.ts';

const TABLE = 0x5000n;
const GFN = 5;
/** What `record` fills a table with. */
const FILLED = 0x5a5a_5a5a;

let tables: RecordedTables;
let released: Buffer[];
/** Answers a capture. */
let answer: (bytes: Buffer) => void;

const decode = (bytes: Buffer): PluginRecord => [...new RecordDecoder().push(bytes)][0]!;

/** Takes a snapshot of the table, with this value in its entry 1. */
function snapshot(capture: number, value: number, vcpu = 0): boolean {
  const { words, ...fields } = decode(record(SNAPSHOT, { pa: TABLE, capture, vcpu }));
  words!.set([value, 0], 2);
  return tables.takeSnapshot({ ...fields, words: words! });
}

/** @returns whether a write to entry 1 does not explain what was shown of it */
function write(sequence: number, value: number): boolean {
  const written = decode(record(WRITE, { sequence, pa: TABLE + 8n, value: BigInt(value), vcpu: 0 }));
  return tables.explain(2, written, tables.tableOf(written)!);
}

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  onTestFinished(() => void vi.useRealTimers());
  released = [];
  const path = peer((socket) => {
    socket.write(HELLO_RECORD);
    socket.on('data', (bytes: Buffer) => released.push(bytes));
    answer = (bytes) => void socket.write(bytes);
  });
  const connection = await PluginConnection.connect(path);
  onTestFinished(() => connection.close());
  tables = new RecordedTables(connection, { end: new GuestEnd('guest') } as never, 8);
});

describe('a snapshot that differs from what the writes made', () => {
  beforeEach(() => {
    tables.setAccess(0, GFN, ACCESS_ALL & ~ACCESS_WRITE);
    snapshot(1, FILLED);
    expect(snapshot(2, 0x1067)).toBe(false);
  });

  test('was taken between a store and its record: the write is a change still, and nothing is lost', () => {
    expect(tables.get(GFN)!.words[2]).toBe(FILLED);
    expect(write(1, 0x1067)).toBe(false);
  });

  test('shows a change without a store where no write comes for a second', () => {
    vi.advanceTimersByTime(900);
    expect(snapshot(3, 0x1067)).toBe(false);
    vi.advanceTimersByTime(200);
    expect(snapshot(4, 0x1067)).toBe(true);
    expect(tables.get(GFN)!.words[2]).toBe(0x1067);
    expect(snapshot(5, 0x1067)).toBe(false);
  });

  test('shows one where the next snapshot has another value', () => {
    expect(snapshot(3, FILLED)).toBe(true);
  });

  test('shows one where the write that comes has another value', () => {
    expect(write(1, 0x2067)).toBe(true);
    expect(write(2, 0x3067)).toBe(false);
  });

  test('shows one where the table is given up first', () => {
    tables.setAccess(0, GFN, ACCESS_ALL);
    expect(tables.resume()).toBe(true);
    expect(tables.resume()).toBe(false);
  });
});

test('a table that a store makes an entry lead to is kept until that store comes', async () => {
  snapshot(1, FILLED, 1);
  tables.resume();
  expect(tables.get(GFN)).toBeDefined();
  tables.arrived(decode(record(WRITE, { sequence: 1, pa: 0x4000n, vcpu: 0 })));
  tables.resume();
  expect(tables.get(GFN)).toBeUndefined();
  await vi.waitFor(() => expect(released).toHaveLength(1));
});

describe('a table that was captured while records wait in the queue', () => {
  const captureAhead = async (...waiting: Buffer[]) => {
    const fetched = tables.fetch([Number(TABLE)]);
    await vi.waitFor(() => expect(released).toHaveLength(1));
    answer(Buffer.concat([...waiting, record(SNAPSHOT, { pa: TABLE, capture: 9, sequence: 20, vcpu: 0 })]));
    await fetched;
  };

  test('and is given up at once is kept until its snapshot comes: that one would bring it back', async () => {
    tables.setAccess(0, GFN, ACCESS_ALL & ~ACCESS_WRITE);
    await captureAhead();
    tables.setAccess(0, GFN, ACCESS_ALL);
    tables.resume();
    expect(tables.get(GFN)).toBeDefined();
    snapshot(7, FILLED);
    tables.resume();
    expect(tables.tableOf(decode(record(WRITE, { sequence: 15, pa: TABLE })))).toBeUndefined();
    snapshot(9, FILLED);
    tables.resume();
    expect(tables.get(GFN)).toBeUndefined();
    await vi.waitFor(() => expect(released).toHaveLength(2));
  });

  test.each([
    ['leads elsewhere after a write that waits has moved: its content is of another time', 0x6067n, true],
    ['leads there still after a write that waits has not moved', 0x5027n, false],
  ])('and whose entry %s', async (_, value, hasMoved) => {
    const parent = decode(record(SNAPSHOT, { pa: 0x4000n, capture: 1, vcpu: 0 }));
    parent.words!.set([0x5067, 0], 2);
    tables.takeSnapshot(parent);
    tables.setAccess(0, GFN, ACCESS_ALL & ~ACCESS_WRITE);
    await captureAhead(record(WRITE, { sequence: 12, pa: 0x4008n, value, vcpu: 0 }));
    expect(tables.hasMoved).toBe(hasMoved);
  });
});
