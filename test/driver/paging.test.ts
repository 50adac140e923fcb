import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { PagingRegisters, RegisterAccess } from '../../src/driver/driver.ts';
import { knownRegisters } from '../../src/driver/known-registers.ts';
import { pagingOf } from '../../src/driver/paging.ts';

const OFF: PagingRegisters = { cr0: 0n, cr3: 0x1000n, cr4: 0n, efer: 0n };
const LONG: PagingRegisters = { cr0: 1n << 31n, cr3: 0x1000n, cr4: 1n << 5n, efer: 0xd00n };

function guest(...vcpus: PagingRegisters[]): RegisterAccess {
  return knownRegisters('guest', vcpus, 36);
}

test('T6 what the registers switch on, and what the processor can address', () => {
  expect(pagingOf(guest(OFF, LONG), 1)).toMatchObject({ mode: { name: '4-level' }, physicalAddressBits: 36 });
});

test('T6 without MAXPHYADDR it is 52', () => {
  expect(pagingOf(knownRegisters('guest', [LONG]), 0)).toMatchObject({ physicalAddressBits: 52 });
});

test('what is given counts more', () => {
  const given = { mode: '5-level', physicalAddressBits: 46 } as const;
  expect(pagingOf(guest(LONG), 0, given)).toMatchObject({ mode: { name: '5-level' }, physicalAddressBits: 46 });
});

test('paging that is off has none, whatever is given', () => {
  expect(pagingOf(guest(OFF, LONG), 0, { mode: '4-level' })).toBeUndefined();
});

test('a vCPU that does not exist', () => {
  expect(() => pagingOf(guest(LONG), 1)).toThrow(expect.objectContaining({ code: 'bad-argument' }));
});

test('nothing else goes from registers to paging: MAXPHYADDR would be forgotten there', () => {
  // The simulated machine is what has the registers; the core has the function that decodes them.
  const own = [/^src\/core\//, /^src\/testing\//, /^src\/driver\/paging\.ts$/];
  const files = readdirSync('src', { recursive: true, encoding: 'utf8' }).map((file) => join('src', file));
  const sources = files.filter((file) => file.endsWith('.ts') && !own.some((each) => each.test(file)));
  expect(sources.length).toBeGreaterThan(100);
  expect(sources.filter((file) => readFileSync(file, 'utf8').includes('pagingFromRegisters'))).toEqual([]);
});
