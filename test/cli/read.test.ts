/** `ptmon read`: what it prints is kept until the guest runs on, so there is a bound on it. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { temporaryFolder } from '../drivers/qemu/transport/peer.ts';
import { run } from './run.ts';

const ROOT = 0x1000;
const [PDPT, PD, FRAME] = [0x2000, 0x3000, 0x40_0000];
const LARGE = 0xe7n;

/** 1 GiB at address 0, each large page of it in the same 2 MiB of a file of 8 MiB. */
function aliasing(): string {
  const memory = Buffer.alloc(8 << 20);
  const write = (pa: number, value: bigint) => void memory.writeBigUInt64LE(value, pa);
  // The kernel half has the table itself, as a kernel's has: else this does not look like memory.
  for (const slot of [0, 256, 511]) write(ROOT + 8 * slot, BigInt(PDPT) | 7n);
  write(PDPT, BigInt(PD) | 7n);
  for (let slot = 0; slot < 512; slot++) write(PD + 8 * slot, BigInt(FRAME) | LARGE);
  memory.fill('A', FRAME, FRAME + (2 << 20));
  const path = join(temporaryFolder(), 'memory');
  writeFileSync(path, memory);
  return path;
}

test('a range of which more is present than may be kept is refused, and how to save it is said', async () => {
  const read = (range: string, ...more: string[]) =>
    run(['read', aliasing(), range, '--root', '0x1000', '--paging', '4-level', ...more]);
  expect(await read('0x0+1G')).toEqual({
    code: 2,
    stdout: '',
    stderr:
      'ptmon: more than 256 MiB are present in this range: read a smaller range; ptmon dump saves whole areas of a process\n',
  });
  const { code, stdout } = await read('0x0+5M', '--raw');
  expect({ code, isWhole: stdout === 'A'.repeat(5 << 20) }).toEqual({ code: 0, isWhole: true });
});

test('a table that merely looks like a root is taken where it is told how the guest pages', async () => {
  const path = aliasing();
  const told = ['--root', '0x1000', '--paging', '4-level'];
  expect(await run(['read', path, '0x0+16', '--root', '0x1000'])).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(
      /0x1000 merely looks like a root of 4-level paging, so give the guest's paging mode with --paging/,
    ),
  });
  for (const args of [
    ['read', path, '0x0+16', '--raw'],
    ['search', path, 'AAAAAAAA', '--va', '0x0+16'],
  ])
    expect(await run([...args, ...told])).toMatchObject({ code: 0 });
  const live = ['--qmp', '/nowhere', '--gdb', '/nowhere', '--paging', '4-level'];
  expect(await run(['read', '0x0+16', ...live])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('root and paging are for a file: a live guest has registers'),
  });
});

test('physical memory is read and searched by physical addresses', async () => {
  const path = aliasing();
  const physical = async (command: string, word: string, ...more: string[]) =>
    run([command, path, word, '--physical', '--root', '0x1000', '--paging', '4-level', ...more]);
  expect(await physical('search', 'AAAA', '--va', '0x3ffffd+8')).toMatchObject({
    code: 0,
    stdout: '0x400000\n0x400001\n',
  });
  expect(await physical('search', 'AAAA', '--count', '1')).toMatchObject({ code: 0, stdout: '0x400000\n' });
  expect(await physical('read', '0x7ffff8+16', '--raw')).toEqual({
    code: 5,
    stdout: '\0'.repeat(8),
    stderr: 'ptmon: 0x800000  8B absent: the frame is not RAM, or is not in the file\n',
  });
  expect(await physical('read', '0x400000+3', '--string')).toMatchObject({ code: 0, stdout: 'AAA\n' });
  expect(await run(['read', path, '0x0', '--physical', '--pid', '1'])).toMatchObject({
    code: 2,
    stderr: 'ptmon: --pid, --comm and --physical exclude each other: give one of them\n',
  });
});
