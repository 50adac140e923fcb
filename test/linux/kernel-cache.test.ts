import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { kernelCache, kernelCacheFolder } from '../../src/linux/kernel/kernel-cache.ts';
import { temporaryFolder } from '../drivers/qemu/transport/peer.ts';

const PLACES = {
  buildId: '0123456789'.repeat(4),
  note: 16,
  btf: 4096,
  initTask: 0x20_0000,
  kernelRoot: 0x1000,
  gate: null,
};

test('what was found is there the next time', () => {
  const folder = join(temporaryFolder(), 'not', 'made', 'yet');
  kernelCache(folder).add(PLACES);
  const without = { ...PLACES, buildId: 'f'.repeat(40), kernelRoot: null };
  kernelCache(folder).add(without);
  expect(kernelCache(folder).all()).toEqual(expect.arrayContaining([PLACES, without]));
  expect(readdirSync(folder).length).toBe(2);
});

test.each([
  ['nothing', ''],
  ['no JSON', '{"v":1,'],
  ['something else', '[]'],
  ['null', 'null'],
  ['of another version', JSON.stringify({ v: 99, ...PLACES })],
  ['a place that is none', JSON.stringify({ v: 1, ...PLACES, btf: '4096' })],
  ['a place that is missing', JSON.stringify({ v: 1, ...PLACES, initTask: undefined })],
  ['of another build', JSON.stringify({ v: 1, ...PLACES, buildId: 'a'.repeat(40) })],
])('a file that holds %s is passed over', (_what, text) => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, `${PLACES.buildId}.json`), text);
  writeFileSync(join(folder, 'other.txt'), JSON.stringify({ v: 1, ...PLACES }));
  expect(kernelCache(folder).all()).toEqual([]);
});

test('a folder that cannot be written to, or is none, is no matter', () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'file'), '');
  kernelCache(join(folder, 'file')).add(PLACES);
  expect(kernelCache(join(folder, 'file')).all()).toEqual([]);
  const closed = join(folder, 'closed');
  mkdirSync(closed);
  chmodSync(closed, 0o500);
  kernelCache(closed).add(PLACES);
  chmodSync(closed, 0o700);
  expect(existsSync(closed)).toBe(true);
});

test.each([
  [{ XDG_CACHE_HOME: '/cache' }, /^\/cache\/ptmon\/kernels$/],
  [{ XDG_CACHE_HOME: '' }, /\/\.cache\/ptmon\/kernels$/],
  [{}, /\/\.cache\/ptmon\/kernels$/],
])('the folder: %j', (env, expected) => {
  expect(kernelCacheFolder(env)).toMatch(expected);
});
