import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { describe, expect, test } from 'vitest';
import {
  formatSocketAddress,
  parseSocketAddress,
  type SocketAddress,
} from '../../../../src/drivers/qemu/transport/socket-address.ts';

const READABLE: readonly (readonly [text: string, address: SocketAddress, canonical: string])[] = [
  ['unix:/run/vm.sock', { kind: 'unix', path: '/run/vm.sock' }, 'unix:/run/vm.sock'],
  ['unix:vm.sock', { kind: 'unix', path: 'vm.sock' }, 'unix:vm.sock'],
  ['/run/vm.sock', { kind: 'unix', path: '/run/vm.sock' }, 'unix:/run/vm.sock'],
  ['./vm.sock', { kind: 'unix', path: './vm.sock' }, 'unix:./vm.sock'],
  ['../vm.sock', { kind: 'unix', path: '../vm.sock' }, 'unix:../vm.sock'],
  ['/tmp/a:1', { kind: 'unix', path: '/tmp/a:1' }, 'unix:/tmp/a:1'],
  ['tcp:localhost:1234', { kind: 'tcp', host: 'localhost', port: 1234 }, 'tcp:localhost:1234'],
  ['10.0.0.1:65535', { kind: 'tcp', host: '10.0.0.1', port: 65535 }, 'tcp:10.0.0.1:65535'],
  [':1234', { kind: 'tcp', host: 'localhost', port: 1234 }, 'tcp:localhost:1234'],
  ['tcp::1234', { kind: 'tcp', host: 'localhost', port: 1234 }, 'tcp:localhost:1234'],
  ['[::1]:1234', { kind: 'tcp', host: '::1', port: 1234 }, 'tcp:[::1]:1234'],
  ['tcp:[fe80::1%eth0]:1', { kind: 'tcp', host: 'fe80::1%eth0', port: 1 }, 'tcp:[fe80::1%eth0]:1'],
];

describe('addresses are read as QEMU and gdb write them', () => {
  test.each(READABLE)('%s', (text, address, canonical) => {
    expect(parseSocketAddress(text)).toEqual(address);
    expect(formatSocketAddress(address)).toBe(canonical);
    expect(parseSocketAddress(canonical)).toEqual(address);
  });
});

test.each(['vm.qmp', 'vm:1234'])('a file that exists is a path: %s', (name) => {
  const folder = mkdtempSync(join(tmpdir(), 'ptmon-address-'));
  const before = process.cwd();
  try {
    process.chdir(folder);
    writeFileSync(name, '');
    expect(parseSocketAddress(name)).toEqual({ kind: 'unix', path: name });
    expect(parseSocketAddress('tcp:vm:1234')).toEqual({ kind: 'tcp', host: 'vm', port: 1234 });
  } finally {
    process.chdir(before);
    rmSync(folder, { recursive: true });
  }
});

describe('anything else is refused by name', () => {
  test.each([
    '',
    'unix:',
    'localhost',
    'host:',
    'host:0',
    'host:65536',
    'host:12x',
    'a:b:1',
    '::1:1234',
    'host:-1',
    '[::1]',
  ])('"%s"', (text) => {
    const expected = { code: 'bad-argument', message: expect.stringContaining(`"${text}"`) as string };
    expect(() => parseSocketAddress(text)).toThrow(expect.objectContaining(expected) as Error);
  });

  test('a path that the system would cut', () => {
    const longest = `/${'é'.repeat(53)}`;
    expect(parseSocketAddress(longest)).toEqual({ kind: 'unix', path: longest });
    expect(() => parseSocketAddress(`${longest}x`)).toThrow(/has 108 bytes; the system allows 107/);
  });
});
