/** The plugin's driver where the guest ends: what is processed, and what is known then. */
import { expect, onTestFinished, test } from 'vitest';
import { ACCESS_ALL, ACCESS_WRITE } from '../../../../src/core/memory/page-access.ts';
import type { SourceEvent } from '../../../../src/driver/driver.ts';
import { GuestEnd } from '../../../../src/drivers/qemu/guest-end.ts';
import { PluginConnection } from '../../../../src/drivers/qemu/plugin/connection.ts';
import { QemuPluginDriver } from '../../../../src/drivers/qemu/plugin/driver.ts';
import { END, SNAPSHOT, WRITE } from '../../../../src/drivers/qemu/plugin/protocol.ts';
import { HELLO_RECORD, peer, record } from './peer.ts';

const TABLE = 0x5000n;
const UNKNOWN = { kind: 'missed', reason: 'the guest ended before all its writes were processed', lost: null };

const shutDown = (end: GuestEnd) => end.hear({ name: 'SHUTDOWN', data: { reason: 'host-qmp-quit' }, timeMs: 0 });

/** A guest whose table is protected, after the plugin had sent this; and what ends the plugin, after it has sent more. */
async function connected(...records: readonly Buffer[]) {
  const end = new GuestEnd('guest');
  let finish: (...records: readonly Buffer[]) => void = () => {};
  const path = peer((socket) => {
    socket.write(Buffer.concat([HELLO_RECORD, ...records]));
    finish = (...more) => void socket.end(Buffer.concat(more));
  });
  const connection = await PluginConnection.connect(path);
  const memory = { description: 'none', readBytes: () => Promise.reject<undefined>(new Error('QEMU has ended')) };
  const guest = { end, memory, registers: { vcpuCount: 1 }, close: () => Promise.resolve() };
  const driver = new QemuPluginDriver({ guest: guest as never, connection, code: 'all', entryBytes: 8, compareMs: 50 });
  onTestFinished(() => driver.close());
  driver.protection.setAccess(0, Number(TABLE >> 12n), ACCESS_ALL & ~ACCESS_WRITE, 1);
  return { driver, end, memory, finish };
}

/** One that has ended, after the plugin had sent this. */
async function ended(...records: readonly Buffer[]): Promise<QemuPluginDriver> {
  const { driver, end, finish } = await connected(...records);
  finish();
  shutDown(end);
  return driver;
}

/** The events of the end; as the monitor does, all tables are asked for at each comparison. */
async function eventsOf(driver: QemuPluginDriver): Promise<SourceEvent[]> {
  const events: SourceEvent[] = [];
  for await (const batch of driver.run()) {
    events.push(...batch);
    if (batch.some(({ kind }) => kind === 'missed')) await driver.remote.fetch([Number(TABLE)]);
    if (events.length > 100) break;
  }
  return events;
}

const FILLED = record(SNAPSHOT, { pa: TABLE, capture: 1, vcpu: 0 });
const STORED = record(WRITE, { sequence: 1, pa: TABLE + 8n, value: 0x1067n, vcpu: 0 });

test('what it wrote last is processed, and nothing is lost', async () => {
  const events = await eventsOf(await ended(FILLED, STORED, record(END)));
  expect(events.map(({ kind }) => kind)).toEqual(['write', 'commit']);
});

test('where the plugin could not send all of it, the loss is unknown', async () => {
  const events = await eventsOf(await ended(FILLED, STORED));
  expect(events).toEqual([
    expect.objectContaining({ kind: 'write' }),
    expect.objectContaining({ kind: 'commit' }),
    UNKNOWN,
  ]);
});

test('where a table can be read no more, the loss is unknown, and the watch ends', async () => {
  const driver = await ended(record(END));
  await driver.remote.fetch([Number(TABLE)]);
  expect(await eventsOf(driver)).toEqual([UNKNOWN]);
});

test('where memory fails while tables are compared, what comes then is processed nevertheless', async () => {
  const { driver, end, memory, finish } = await connected(FILLED);
  memory.readBytes = () => {
    shutDown(end);
    finish(STORED, record(END));
    return Promise.reject(new Error('QEMU has ended'));
  };
  const events = await eventsOf(driver);
  expect(events.map(({ kind }) => kind)).toEqual(['write', 'commit']);
});
