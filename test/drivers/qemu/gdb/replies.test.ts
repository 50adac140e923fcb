import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { faultOfReply } from '../../../../src/drivers/qemu/gdb/reply/error-reply.ts';
import { parseFeatures } from '../../../../src/drivers/qemu/gdb/reply/features.ts';
import { bytesOfHex, littleEndianOfHex, numberOfHex } from '../../../../src/drivers/qemu/gdb/reply/hex.ts';
import { parseStopReply, type StopReply } from '../../../../src/drivers/qemu/gdb/reply/stop-reply.ts';
import { formatThreadId, parseThreadId } from '../../../../src/drivers/qemu/gdb/reply/thread-id.ts';

const stopped = (signal: number, more: Partial<Extract<StopReply, { kind: 'stopped' }>> = {}): StopReply => ({
  kind: 'stopped',
  signal,
  thread: undefined,
  watch: undefined,
  ...more,
});

describe('stop replies', () => {
  test.each<readonly [string, StopReply | undefined]>([
    ['S05', stopped(5)],
    ['T02thread:p01.02;', stopped(2, { thread: { pid: 1, tid: 2 } })],
    ['T05thread:0a;', stopped(5, { thread: { pid: undefined, tid: 10 } })],
    [
      'T05thread:p01.01;watch:ffff888000000ff8;',
      stopped(5, { thread: { pid: 1, tid: 1 }, watch: { access: 'write', va: 0xffff888000000ff8n } }),
    ],
    ['T05rwatch:10;thread:1;', stopped(5, { thread: { pid: undefined, tid: 1 }, watch: { access: 'read', va: 16n } })],
    ['T05awatch:10', stopped(5, { watch: { access: 'access', va: 16n } })],
    ['T0506:0*,;swbreak:;core:3;constructor:1;', stopped(5)],
    ['T05watch:;thread:;', stopped(5)],
    ['T05watch:11112222333344445;', stopped(5)],
    ['T03', stopped(3)],
    ['W00', { kind: 'exited', status: 0 }],
    ['W7f;process:1', { kind: 'exited', status: 0x7f }],
    ['X09', { kind: 'killed', signal: 9 }],
    ['T', undefined],
    ['T0', undefined],
    ['Tzz', undefined],
    ['t05', undefined],
    ['OK', undefined],
    ['E01', undefined],
    ['', undefined],
  ])('%s', (payload, expected) => {
    expect(parseStopReply(payload)).toEqual(expected);
  });

  test('whatever the bytes, none throws', () => {
    const text = fc.string({ unit: fc.constantFrom(...'TSWX05;:,watchread.p\xff*') });
    fc.assert(fc.property(text, (payload) => void parseStopReply(payload)));
  });
});

describe('threads', () => {
  test.each([
    ['p01.0a', { pid: 1, tid: 10 }, 'p1.a'],
    ['1f', { pid: undefined, tid: 31 }, '1f'],
    ['p1.ffffffff', { pid: 1, tid: 0xffff_ffff }, 'p1.ffffffff'],
  ])('%s', (text, id, canonical) => {
    expect(parseThreadId(text)).toEqual(id);
    expect(formatThreadId(id)).toBe(canonical);
  });

  test.each(['', '0', '-1', 'p1', 'p1.', 'p1.0', 'p1.-1', 'p-1.1', 'x', '123456789', '1;2'])('"%s" is none', (text) => {
    expect(parseThreadId(text)).toBeUndefined();
  });
});

describe('features', () => {
  test.each<readonly [string, number, string[]]>([
    [
      'PacketSize=1000;qXfer:features:read+;vContSupported+;multiprocess-',
      4096,
      ['qXfer:features:read', 'vContSupported'],
    ],
    ['', 400, []],
    ['PacketSize=0', 400, []],
    ['PacketSize=ffffffff', 32 * 1024, []],
    ['PacketSize=xyz;;=;+', 400, ['']],
  ])('%s', (reply, packetByteLength, offered) => {
    expect(parseFeatures(reply)).toEqual({ packetByteLength, offered: new Set(offered) });
  });
});

describe('replies that say no', () => {
  test.each([
    ['', 'not supported'],
    ['E22', 'error 22'],
    ['E.no such register', 'no such register'],
    ['OK', undefined],
    // Memory and registers may begin with the digit e, and some stubs send capitals.
    ['E2233', undefined],
    ['e2', undefined],
  ])('"%s"', (reply, fault) => {
    expect(faultOfReply(reply)).toBe(fault);
  });
});

describe('digits', () => {
  test.each([
    ['', []],
    ['00ffA5', [0, 255, 0xa5]],
    ['0', undefined],
    ['0g', undefined],
    ['xx', undefined],
  ])('bytes of "%s"', (digits, bytes) => {
    expect(bytesOfHex(digits)).toEqual(bytes && Buffer.from(bytes));
  });

  test.each([
    ['01', 1n],
    ['0100000000000080', 0x8000_0000_0000_0001n],
    ['ff'.repeat(16), 2n ** 128n - 1n],
    ['', undefined],
    ['1', undefined],
    ['xx', undefined],
  ])('little-endian number of "%s"', (digits, value) => {
    expect(littleEndianOfHex(digits)).toBe(value);
  });

  test.each([
    ['ff', 255n],
    ['ffffffffffffffff', 2n ** 64n - 1n],
    ['', undefined],
    ['10000000000000000', undefined],
    ['0x1', undefined],
  ])('number of "%s"', (digits, value) => {
    expect(numberOfHex(digits)).toBe(value);
  });
});
