import { describe, expect, test } from 'vitest';
import { PluginConnection } from '../../../../src/drivers/qemu/plugin/connection.ts';
import {
  BUSY,
  HELLO,
  RecordDecoder,
  SNAPSHOT,
  UNREADABLE,
  WRITE,
} from '../../../../src/drivers/qemu/plugin/protocol.ts';
import { HELLO_RECORD, peer, record } from './peer.ts';

describe('records of the plugin', () => {
  test('are the same for any cutting into chunks', () => {
    const bytes = Buffer.concat([
      record(WRITE, { sequence: 7, pa: 0x12_3456_7890_f008n, value: 0x8000_0000_1234_5067n }),
      record(SNAPSHOT, { pa: 0x5000n, capture: 3 }),
      record(WRITE, { sequence: 8 }),
    ]);
    const whole = [...new RecordDecoder().push(bytes)];
    expect(whole.map(({ kind }) => kind)).toEqual([WRITE, SNAPSHOT, WRITE]);
    expect(whole[0]).toMatchObject({ vcpu: 1, pa: 0x12_3456_7890_f008, lo: 0x1234_5067, hi: 0x8000_0000 });
    expect(whole[1]?.words).toEqual(new Uint32Array(1024).fill(0x5a5a5a5a));
    for (const size of [1, 31, 33, 4096]) {
      const decoder = new RecordDecoder();
      const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, n) =>
        bytes.subarray(n * size, (n + 1) * size),
      );
      expect(pieces.flatMap((piece) => [...decoder.push(piece)])).toEqual(whole);
    }
  });
});

describe('a connection to the plugin', () => {
  test.each([
    ['another ptmon is connected', record(BUSY), 'another ptmon watches this guest'],
    [
      'it is of another version',
      record(HELLO, { sequence: 99 }),
      'version 99 of its protocol, this ptmon 2: build it anew (ptmon doctor --build-plugin FILE)',
    ],
    ['it is something else', Buffer.alloc(64, 0x41), "not the socket of ptmon's QEMU plugin"],
  ])('is refused where %s', async (_what, greeting, message) => {
    const path = peer((socket) => void socket.write(greeting));
    await expect(PluginConnection.connect(path)).rejects.toThrow(message);
  });

  test('that ends is told to what waits and to what comes, after the records that have arrived', async () => {
    const path = peer((socket) => {
      socket.write(Buffer.concat([HELLO_RECORD, record(WRITE, { sequence: 1 })]));
      socket.once('data', () => socket.destroy());
    });
    const connection = await PluginConnection.connect(path);
    await expect(connection.capture(0x1000, 1)).rejects.toMatchObject({ code: 'source-unavailable' });
    expect(connection.peek()).toMatchObject({ kind: WRITE, sequence: 1 });
    connection.take();
    await expect(connection.wait(1000, new AbortController().signal)).rejects.toThrow('unix:');
    connection.close();
  });

  test('answers a capture by the table, or by nothing where there is no RAM', async () => {
    const path = peer((socket) => {
      socket.write(HELLO_RECORD);
      socket.on('data', (bytes) => {
        const pa = bytes.readBigUInt64LE(8);
        socket.write(record(pa === 0x1000n ? SNAPSHOT : UNREADABLE, { pa }));
      });
    });
    const connection = await PluginConnection.connect(path);
    expect((await connection.capture(0x1000, 2))?.words).toHaveLength(1024);
    expect(await connection.capture(0x2000, 1)).toBeUndefined();
    connection.close();
  });
});
