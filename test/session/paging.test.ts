import { describe, expect, test } from 'vitest';
import { makePaging } from '../../src/core/paging/format.ts';
import { resolvePaging } from '../../src/session/paging.ts';
import { registersOf, ScriptedDriver } from './scripted-driver.ts';

const LA57 = (1n << 5n) | (1n << 12n);

function driverWith(registers?: Parameters<typeof registersOf>[0]): ScriptedDriver {
  const driver = new ScriptedDriver();
  if (registers !== undefined) driver.registers = registersOf(registers);
  return driver;
}

describe('T1 the paging of a session', () => {
  test.each([
    ['the registers say it', driverWith({ cr4: LA57 }), {}, { mode: '5-level' }],
    ['nobody has to ask what is told', driverWith(), { mode: 'pae' }, { mode: 'pae' }],
    ['what is told wins', driverWith({ cr4: LA57 }), { mode: '4-level' }, { mode: '4-level' }],
    [
      'what registers cannot say is told beside them',
      driverWith({ efer: 0x500n }),
      { physicalAddressBits: 46 },
      { mode: '4-level', physicalAddressBits: 46, noExecuteEnable: false },
    ],
    [
      'a part of what they say can be overruled',
      driverWith({ efer: 0x500n }),
      { noExecuteEnable: true },
      { mode: '4-level', noExecuteEnable: true },
    ],
  ] as const)('%s', (_, driver, told, expected) => {
    expect(resolvePaging({ driver: driver, paging: told })).toEqual(makePaging(expected));
  });

  test('one that is already made is taken as it is', () => {
    const paging = makePaging({ mode: 'pae' });
    expect(resolvePaging({ driver: driverWith({}), paging: paging })).toBe(paging);
  });

  test.each([
    ['there are no registers', driverWith(), 'bad-argument', /script has no registers/],
    ['paging is off', driverWith({ cr0: 1n }), 'source-unavailable', /paging is off.*Let it boot/],
  ])('nobody knows when %s', (_, driver, code, message) => {
    expect(() => resolvePaging({ driver })).toThrow(message);
    expect(() => resolvePaging({ driver })).toThrow(expect.objectContaining({ code }));
  });
});
