import { describe, expect, test } from 'vitest';
import { type CpioEntry, cpioArchive } from '../../../../src/drivers/qemu/launch/initramfs/cpio.ts';

const text = new TextEncoder();

interface Member {
  readonly path: string;
  readonly mode: number;
  readonly links: number;
  readonly owner: readonly number[];
  readonly time: number;
  readonly device: readonly number[];
  readonly content: string;
}

/** Reads an archive as buffer-format.rst of the kernel describes it, without a line of the writer. */
function unpack(archive: Uint8Array): readonly Member[] {
  const bytes = Buffer.from(archive);
  const members: Member[] = [];
  for (let at = 0; ; ) {
    expect(bytes.toString('latin1', at, at + 6)).toBe('070701');
    const header = bytes.toString('latin1', at + 6, at + 110);
    const field = (index: number): number => {
      const digits = header.slice(index * 8, index * 8 + 8);
      expect(digits).toMatch(/^[0-9A-Fa-f]{8}$/);
      return Number.parseInt(digits, 16);
    };
    const [mode, links, time, size, nameSize] = [1, 4, 5, 6, 11].map(field) as [number, number, number, number, number];
    const nameAt = at + 110;
    expect(bytes[nameAt + nameSize - 1]).toBe(0);
    const path = bytes.toString('utf8', nameAt, nameAt + nameSize - 1);
    const contentAt = Math.ceil((nameAt + nameSize) / 4) * 4;
    const content = bytes.toString('utf8', contentAt, contentAt + size);
    at = Math.ceil((contentAt + size) / 4) * 4;
    if (path === 'TRAILER!!!') {
      expect(size).toBe(0);
      expect(at).toBe(bytes.byteLength);
      return members;
    }
    members.push({ path, mode, links, owner: [field(2), field(3)], time, device: [field(9), field(10)], content });
  }
}

const plain = { links: 1, owner: [0, 0], time: 0, device: [0, 0], content: '' };

describe('an archive in the format that the kernel unpacks', () => {
  test.each<[string, CpioEntry, Partial<Member>]>([
    ['a folder', { kind: 'folder', path: 'dev', mode: 0o755 }, { mode: 0o040755 }],
    [
      'a file',
      { kind: 'file', path: 'init', mode: 0o755, content: text.encode('#!x') },
      { mode: 0o100755, content: '#!x' },
    ],
    ['an empty file', { kind: 'file', path: 'a/b', mode: 0o600, content: text.encode('') }, { mode: 0o100600 }],
    ['a link', { kind: 'link', path: 'bin/sh', target: 'busybox' }, { mode: 0o120777, content: 'busybox' }],
    [
      'a device',
      { kind: 'character-device', path: 'dev/console', mode: 0o600, major: 5, minor: 1 },
      { mode: 0o020600, device: [5, 1] },
    ],
    ['a name in UTF-8', { kind: 'link', path: 'bin/größe', target: 'é' }, { mode: 0o120777, content: 'é' }],
  ])('%s', (_, entry, expected) => {
    expect(unpack(cpioArchive([entry]))).toEqual([{ ...plain, path: entry.path, ...expected }]);
  });

  test('names and contents of every length keep the next member aligned', () => {
    const entries = Array.from({ length: 64 }, (_, index): CpioEntry => {
      const content = text.encode('c'.repeat(index % 8));
      return { kind: 'file', path: `${'n'.repeat(1 + Math.floor(index / 8))}${index}`, mode: 0o644, content };
    });
    const members = unpack(cpioArchive(entries));
    expect(members.map(({ path, content }) => [path, content])).toEqual(
      entries.map((entry, index) => [entry.path, 'c'.repeat(index % 8)]),
    );
  });

  test('each member has an inode of its own: equal ones would be hard links of one file', () => {
    const folder = (path: string): CpioEntry => ({ kind: 'folder', path, mode: 0o755 });
    const archive = Buffer.from(cpioArchive(['a', 'b', 'c'].map(folder))).toString('latin1');
    const inodes = [...archive.matchAll(/070701(.{8})/g)].map((match) => match[1]);
    expect(new Set(inodes).size).toBe(4);
  });

  test('the same files are the same bytes', () => {
    const entry: CpioEntry = { kind: 'link', path: 'a', target: 'b' };
    expect(cpioArchive([entry])).toEqual(cpioArchive([entry]));
  });

  test.each(['', '/etc', 'a//b', 'a/', '../a', 'a/../b', 'TRAILER!!!'])('the path %j is refused', (path) => {
    expect(() => cpioArchive([{ kind: 'folder', path, mode: 0o755 }])).toThrow(
      expect.objectContaining({ code: 'bad-argument' }),
    );
  });
});
