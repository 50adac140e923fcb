/** Memory behind a gdbstub: fetched page by page, and only where RAM is. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { READ_NO_MEMORY, READ_NOT_FETCHED, READ_OK } from '../../../../src/core/memory/physical-memory.ts';
import { GdbClient } from '../../../../src/drivers/qemu/gdb/index.ts';
import { StubMemory } from '../../../../src/drivers/qemu/memory/stub-memory.ts';
import { Stub } from '../gdb/stub.ts';

const GIB = 2 ** 30;

async function open(): Promise<{ stub: Stub; memory: StubMemory; read: (pa: number) => number | bigint }> {
  const stub = await Stub.start({ memory: (address) => (address / 4096) & 0xff });
  const gdb = await GdbClient.connect(stub.address);
  onTestFinished(() => gdb.close());
  const regions = [
    { pa: 4 * GIB, byteLength: GIB, position: 0 },
    { pa: 0, byteLength: 0x10_0000, position: 0 },
    { pa: 0x10_0000, byteLength: 0x10_0000, position: 0 },
  ];
  const memory = new StubMemory(gdb, regions);
  const out = new Uint32Array(2);
  return {
    stub,
    memory,
    read: (pa) => {
      const outcome = memory.memory.readEntry(pa, 8, out);
      return outcome === READ_OK ? (BigInt(out[1]!) << 32n) | BigInt(out[0]!) : outcome;
    },
  };
}

const all = (byte: bigint) => byte * 0x0101_0101_0101_0101n;

describe('memory behind a gdbstub', () => {
  test('is there once it is fetched, until the guest runs on; holes are never asked for', async () => {
    const { stub, memory, read } = await open();
    const [low, high, hole] = [0x5008, 4 * GIB + 0x7000, 0x20_0000];
    expect([low, high, hole].map(read)).toEqual([READ_NOT_FETCHED, READ_NOT_FETCHED, READ_NOT_FETCHED]);
    await memory.fetch([low, high, hole, low + 8, 3 * GIB]);
    expect([low, high, hole, 3 * GIB].map(read)).toEqual([all(5n), all(7n), READ_NO_MEMORY, READ_NO_MEMORY]);
    const asked = stub.commands.filter((command) => command.startsWith('m'));
    expect(asked).toEqual(['m5000,800', 'm5800,800', 'm100007000,800', 'm100007800,800']);
    expect(stub.isPhysical).toBe(true);
    memory.clear();
    expect([low, hole].map(read)).toEqual([READ_NOT_FETCHED, READ_NOT_FETCHED]);
  });

  test('is read as bytes where all of it is RAM', async () => {
    const { memory } = await open();
    expect([...(await memory.readBytes(0x0f_ffff, 2))!]).toEqual([0xff, 0x00]);
    expect(await memory.readBytes(0x1f_ffff, 2)).toBeUndefined();
    expect(await memory.readBytes(3 * GIB, 1)).toBeUndefined();
    expect(await memory.readBytes(3 * GIB, 0)).toHaveLength(0);
  });

  test('is not fetched for who has given up, nor after it is closed', async () => {
    const { stub, memory, read } = await open();
    const before = stub.commands.length;
    await expect(memory.fetch([0], AbortSignal.abort(new Error('enough')))).rejects.toThrow('enough');
    memory.close();
    memory.close();
    const closed = expect.objectContaining({ code: 'closed' });
    await expect(memory.fetch([0])).rejects.toThrow(closed);
    await expect(memory.readBytes(0, 8)).rejects.toThrow(closed);
    expect(stub.commands.length).toBe(before);
    expect(read(0)).toBe(READ_NOT_FETCHED);
  });

  test('that cannot be read leaves what was fetched before', async () => {
    const { stub, memory, read } = await open();
    await memory.fetch([0x3000]);
    stub.hangUp();
    await expect(memory.fetch([0x4000])).rejects.toThrow(expect.objectContaining({ code: 'source-unavailable' }));
    expect([0x3000, 0x4000].map(read)).toEqual([all(3n), READ_NOT_FETCHED]);
  });
});
