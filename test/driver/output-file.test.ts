import { spawn, spawnSync } from 'node:child_process';
import { closeSync, linkSync, mkdirSync, openSync, readFileSync, symlinkSync, writeFileSync, writeSync } from 'node:fs';
import { createServer } from 'node:net';
import process from 'node:process';
import { describe, expect, onTestFinished, test } from 'vitest';
import { expectUnusedFile, openOutputFile } from '../../src/driver/output-file.ts';
import { temporaryFolder } from '../drivers/trace/temporary-folder.ts';

const file = temporaryFolder();
const OWN = { isOwn: (start: Uint8Array) => start[0] === 0x41, own: 'an A' };

function write(path: string, options = {}): void {
  const fd = openOutputFile(path, { ...OWN, ...options });
  writeSync(fd, 'A new');
  closeSync(fd);
}

describe('what may be written to', () => {
  test.each([
    ['a new file', undefined],
    ['an empty file', ''],
    ['a file of our own', 'A long and old one'],
  ])('%s', (name, content) => {
    const path = file(name);
    if (content !== undefined) writeFileSync(path, content);
    write(path);
    expect(readFileSync(path, 'utf8')).toBe('A new');
  });

  test('/dev/null', () => write('/dev/null'));

  test('any other file, where that is forced', () => {
    const path = file('forced');
    writeFileSync(path, 'precious');
    write(path, { force: true });
    expect(readFileSync(path, 'utf8')).toBe('A new');
  });
});

describe('what stays as it is', () => {
  test('a file of somebody else', () => {
    const path = file('precious');
    writeFileSync(path, 'precious');
    expect(() => write(path)).toThrow(/precious is there already, and is not an A: give another path, or --force/);
    expect(readFileSync(path, 'utf8')).toBe('precious');
  });

  test('a folder, a socket, a path into nowhere', async () => {
    mkdirSync(file('folder'));
    const server = createServer().listen(file('socket'));
    onTestFinished(() => void server.close());
    await new Promise((resolve) => server.once('listening', resolve));
    for (const path of [file('folder'), file('socket'), file('nowhere/file')]) {
      expect(() => write(path, { force: true })).toThrow(expect.objectContaining({ code: 'bad-argument' }));
    }
  });

  const isLinux = process.platform === 'linux';
  // Node maps no file by itself.
  const hasPerl = isLinux && spawnSync('perl', ['-e', '1']).status === 0;
  test.runIf(isLinux).each(hasPerl ? ['open', 'mapped'] : ['open'])(
    'a file that a process has %s, by any name, forced or not',
    async (how) => {
      const path = file(`used-${how}`);
      writeFileSync(path, 'A guest');
      const holder = holding(path, how);
      onTestFinished(() => void holder.kill('SIGKILL'));
      await new Promise((resolve) => holder.stdout!.once('data', resolve));
      linkSync(path, `${path}-link`);
      symlinkSync(path, `${path}-symlink`);
      for (const name of [path, `${path}-link`, `${path}-symlink`]) {
        for (const force of [false, true]) {
          expect(() => write(name, { force })).toThrow(new RegExp(`is in use by process ${holder.pid}`));
        }
        expect(() => expectUnusedFile(name)).toThrow(/is in use by/);
      }
      expect(readFileSync(path, 'utf8')).toBe('A guest');
    },
  );

  /** A process that has the file open; QEMU maps its guest's RAM and keeps it open as well. */
  function holding(path: string, how: string) {
    const fd = openSync(path, 'r+');
    try {
      const script = 'echo ready; exec sleep 60';
      return how === 'open'
        ? spawn('sh', ['-c', script], { stdio: ['ignore', 'pipe', 'ignore', fd] })
        : spawn('perl', ['-e', MAP, path], { stdio: ['ignore', 'pipe', 'ignore'] });
    } finally {
      closeSync(fd);
    }
  }

  /** mmap(2) by its number, shared, and no descriptor left. */
  const MAP = `open(my $f, "+<", $ARGV[0]) or die; syscall(9, 0, 4096, 1, 1, fileno($f), 0); close $f; $| = 1; print "ready\\n"; sleep 60`;

  test.runIf(process.platform === 'linux')('a file that this process reads: its own source', () => {
    const path = file('source');
    writeFileSync(path, 'A trace');
    const fd = openSync(path, 'r');
    onTestFinished(() => closeSync(fd));
    expect(() => write(path, { force: true })).toThrow(/is in use by ptmon itself/);
    expect(readFileSync(path, 'utf8')).toBe('A trace');
  });
});
