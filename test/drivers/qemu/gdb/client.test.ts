import { describe, expect, onTestFinished, test } from 'vitest';
import { GdbClient, type GdbOptions } from '../../../../src/drivers/qemu/gdb/index.ts';
import { Stub, type StubOptions } from './stub.ts';

async function connect(options: StubOptions & { readonly client?: GdbOptions } = {}): Promise<[GdbClient, Stub]> {
  const stub = await Stub.start(options);
  const gdb = await GdbClient.connect(stub.address, options.client);
  onTestFinished(() => gdb.close());
  return [gdb, stub];
}

describe.each(['unix', 'tcp'] as const)('over %s', (kind) => {
  test('it agrees on features and learns where the guest stands', async () => {
    const [gdb, stub] = await connect({ kind });
    expect(gdb.address).toBe(`${kind}:${stub.address}`);
    expect(gdb.stop).toEqual({ kind: 'stopped', signal: 5, thread: { pid: 1, tid: 1 }, watch: undefined });
    expect(gdb.features.packetByteLength).toBe(4096);
    expect(stub.commands).toEqual(['qSupported:multiprocess+;xmlRegisters=i386', '?']);
  });
});

describe('connecting', () => {
  test('to a guest that runs: the stop that this causes is no answer to anything', async () => {
    const stub = await Stub.start();
    stub.resumeBehindBack();
    const gdb = await GdbClient.connect(stub.address);
    onTestFinished(() => gdb.close());
    expect([gdb.stop, gdb.isRunning, stub.isRunning]).toEqual([expect.objectContaining({ signal: 5 }), false, false]);
  });

  test('clears the watchpoints of a client that died', async () => {
    const stub = await Stub.start();
    stub.watches = ['1000,8'];
    const gdb = await GdbClient.connect(stub.address);
    onTestFinished(() => gdb.close());
    expect(stub.watches).toEqual([]);
  });

  test('goes on acknowledging whatever the stub offers', async () => {
    const [gdb, stub] = await connect({ features: 'PacketSize=1000;QStartNoAckMode+;qXfer:features:read+' });
    await gdb.threads();
    expect(stub.commands).not.toContain('QStartNoAckMode');
  });

  test('a stub that knows no features', async () => {
    const [gdb] = await connect({ features: '' });
    expect(gdb.features).toEqual({ packetByteLength: 400, offered: new Set() });
  });
});

describe('registers', () => {
  const registers = (vcpu: number) => ({
    cr0: 0x8005_0033n,
    cr3: BigInt(vcpu) * 0x1000n + 0x10_0000n,
    cr4: 0x20n,
    efer: 0x500n,
  });

  test('of the vCPU that stopped, and of each', async () => {
    const [gdb, stub] = await connect({ vcpus: 17, registers });
    const threads = await gdb.threads();
    expect(threads.map(({ tid }) => tid)).toEqual(Array.from({ length: 17 }, (_, vcpu) => vcpu + 1));
    expect(await gdb.readRegisters()).toMatchObject({ cr0: 0x8005_0033n, cr3: 0x10_0000n, cr4: 0x20n, efer: 0x500n });
    for (const [vcpu, thread] of threads.entries()) {
      expect((await gdb.readRegisters(thread)).cr3).toBe(registers(vcpu).cr3);
    }
    // The description is fetched once, and a thread that is chosen already is not chosen again.
    expect(stub.commands.filter((command) => command.startsWith('qXfer')).length).toBe(3);
    expect(stub.commands.filter((command) => command.startsWith('Hg')).length).toBe(17);
  });

  test('after a stop the thread is chosen anew: the stub has moved it', async () => {
    const [gdb, stub] = await connect({ vcpus: 2, registers });
    await gdb.readRegisters({ pid: 1, tid: 1 });
    const stopped = gdb.continue();
    await expect.poll(() => stub.isRunning).toBe(true);
    stub.stop('T05thread:p01.02;');
    expect(await stopped).toMatchObject({ thread: { tid: 2 } });
    expect((await gdb.readRegisters({ pid: 1, tid: 1 })).cr3).toBe(0x10_0000n);
    expect((await gdb.readRegisters()).cr3).toBe(0x10_1000n);
  });

  test.each<readonly [string, string, string, string, RegExp]>([
    [
      'a thread that does not exist',
      'Hgp1.9',
      'E22',
      'source-unavailable',
      /refused the choice of thread p1.9 \(error 22\)/,
    ],
    ['a refusal', 'g', 'E14', 'source-unavailable', /registers cannot be read \(error 14\)/],
    ['nonsense', 'g', 'hello', 'corrupt-input', /sent "hello"|digits/],
    [
      'a stub without descriptions',
      'qXfer:features:read:target.xml:0,fff',
      '',
      'source-unavailable',
      /target.xml cannot be read: not supported/,
    ],
    [
      'a description that says nothing more',
      'qXfer:features:read:target.xml:0,fff',
      'm',
      'source-unavailable',
      /target.xml cannot be read/,
    ],
    [
      'a description in which there is no CR3',
      'qXfer:features:read:target.xml:0,fff',
      'l<target/>',
      'corrupt-input',
      /digits of registers/,
    ],
  ])('%s', async (_, command, reply, code, message) => {
    const [gdb] = await connect({ vcpus: 9, reply: (payload) => (payload === command ? reply : undefined) });
    await expect(gdb.readRegisters({ pid: 1, tid: 9 })).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message) as string,
    });
  });

  test('a description without an end is given up', async () => {
    const [gdb] = await connect({
      reply: (payload) => (payload.startsWith('qXfer') ? `m${'<!-- -->'.repeat(500)}` : undefined),
    });
    await expect(gdb.readRegisters()).rejects.toMatchObject({
      code: 'corrupt-input',
      message: expect.stringMatching(/more than 1048576 bytes/) as string,
    });
  });

  test('a list of threads without an end is given up', async () => {
    const [gdb] = await connect({ reply: (payload) => (payload.endsWith('ThreadInfo') ? 'm1' : undefined) });
    await expect(gdb.threads()).rejects.toMatchObject({ code: 'corrupt-input' });
  });
});

describe('memory', () => {
  const memory = (address: number) => (address ^ (address >> 8)) & 0xff;
  const expected = (address: number, byteLength: number) =>
    Uint8Array.from({ length: byteLength }, (_, at) => memory(address + at));

  test.each([
    ['nothing', 0x1000, 0],
    ['one entry', 0x1ff8, 8],
    ['as much as fits into a packet', 0x1000, 2048],
    ['one byte more', 0x1000, 2049],
    ['much', 0x123, 100_000],
  ])('%s', async (_, pa, byteLength) => {
    const [gdb, stub] = await connect({ memory });
    expect(Buffer.from(await gdb.readPhysical(pa, byteLength)).equals(expected(pa, byteLength))).toBe(true);
    expect(stub.isPhysical).toBe(true);
  });

  test('many ranges keep their order', async () => {
    const [gdb] = await connect({ memory });
    const ranges = Array.from({ length: 100 }, (_, at) => ({ pa: at * 0x1234, byteLength: at * 50 }));
    const read = await gdb.readPhysicalRanges(ranges);
    expect(read.map((bytes) => [...bytes])).toEqual(ranges.map(({ pa, byteLength }) => [...expected(pa, byteLength)]));
  });

  test('a stub that sends less than asked is asked for the rest', async () => {
    const reply = (payload: string) => {
      const match = /^m([0-9a-f]+),([0-9a-f]+)$/.exec(payload);
      if (match === null) return undefined;
      const byteLength = Math.min(Number.parseInt(match[2]!, 16), 7);
      return Buffer.from(expected(Number.parseInt(match[1]!, 16), byteLength)).toString('hex');
    };
    const [gdb] = await connect({ reply });
    expect(await gdb.readPhysical(0x100, 50)).toEqual(expected(0x100, 50));
  });

  test('physical and virtual addresses are kept apart, and switched only when needed', async () => {
    const [gdb, stub] = await connect({ memory });
    await gdb.readPhysical(0, 8);
    await gdb.readPhysical(8, 8);
    await gdb.readVirtual(0xffff_8880_0000_0000n, 8);
    await gdb.readVirtual(0n, 8);
    await gdb.readPhysical(0xf_ffff_ffff_fff8, 8);
    expect(stub.commands.slice(2)).toEqual([
      'Qqemu.PhyMemMode:1',
      'm0,8',
      'm8,8',
      'Qqemu.PhyMemMode:0',
      'mffff888000000000,8',
      'm0,8',
      'Qqemu.PhyMemMode:1',
      'mffffffffffff8,8',
    ]);
  });

  test.each<readonly [string, string, string, RegExp]>([
    [
      'E14',
      'read-failed',
      'physical address 0x1000 cannot be read',
      /physical address 0x1000 cannot be read \(error 14\)/,
    ],
    ['', 'read-failed', 'nothing', /not supported/],
    ['00', 'ok', '', /^$/],
    ['0', 'corrupt-input', 'half a byte', /did not send 2 bytes/],
    ['zz', 'corrupt-input', 'no digits', /did not send 2 bytes/],
    ['000000', 'corrupt-input', 'too much', /did not send 2 bytes/],
  ])('a reply of "%s" is %s', async (reply, code, _, message) => {
    const [gdb] = await connect({ reply: (payload) => (payload.startsWith('m') ? reply : undefined) });
    const read = gdb.readPhysical(0x1000, 2);
    if (code === 'ok') expect(await read).toEqual(Uint8Array.of(0, 0));
    else await expect(read).rejects.toMatchObject({ code, message: expect.stringMatching(message) as string });
  });

  test('a stub without physical addresses is said so; virtual ones work', async () => {
    const [gdb] = await connect({ memory, reply: (payload) => (payload.startsWith('Qqemu') ? '' : undefined) });
    await expect(gdb.readPhysical(0, 8)).rejects.toMatchObject({
      code: 'source-unavailable',
      message: expect.stringMatching(
        /does not read physical memory \(not supported\): ptmon needs QEMU 4.1 or newer/,
      ) as string,
    });
    expect(await gdb.readVirtual(0n, 2)).toEqual(expected(0, 2));
  });

  test.each([-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])('%f bytes are refused', async (byteLength) => {
    const [gdb] = await connect();
    await expect(gdb.readPhysical(0, byteLength)).rejects.toMatchObject({ code: 'bad-argument' });
  });
});
