/** The tables that the plugin records, where a snapshot, a write and the guest come in an order of their own. */
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { ACCESS_ALL, ACCESS_WRITE } from '../../../../src/core/memory/page-access.ts';
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
  });
  const connection = await PluginConnection.connect(path);
  onTestFinished(() => connection.close());
  tables = new RecordedTables(connection, undefined as never, 8);
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
