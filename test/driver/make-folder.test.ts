/** Folders that are made with those above them, and those that cannot be. */
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { makeFolder } from '../../src/driver/make-folder.ts';

function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), 'ptmon-folder-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test('makes a folder with those above it, and leaves one that exists', () => {
  const folder = join(temporary(), 'a/b/../c');
  makeFolder(folder);
  makeFolder(folder);
  expect(statSync(folder).isDirectory()).toBe(true);
});

test('a file in its place, or above it, is an error', () => {
  const file = join(temporary(), 'file');
  writeFileSync(file, '');
  expect(() => makeFolder(file)).toThrow(/EEXIST/);
  expect(() => makeFolder(join(file, 'folder'))).toThrow(/ENOTDIR/);
});

test('an empty path is an error, and not the current folder', () => {
  expect(() => makeFolder('')).toThrow(/ENOENT/);
});

test('a file system that makes no folders is an error, and no endless loop', () => {
  expect(() => makeFolder('/proc/ptmon')).toThrow(/ENOENT/);
  expect(() => makeFolder('/proc/ptmon/deep/er')).toThrow(/ENOENT/);
});
