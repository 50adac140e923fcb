import { describe, expect, test } from 'vitest';
import { Machine } from '../../../src/testing/index.ts';

const noSuchView = expect.objectContaining({ code: 'no-such-view' });
const badArgument = expect.objectContaining({ code: 'bad-argument' });

describe('views', () => {
  test('each has its own access for each frame, everything unless told', () => {
    const { views } = new Machine({ views: 3, memoryFrames: 16 });
    expect(views.numbers).toEqual([0, 1, 2]);
    views.setAccess(1, 5, 4);
    views.setAccess(2, 5, 0);
    expect([0, 1, 2].map((view) => views.getAccess(view, 5))).toEqual([7, 4, 0]);
    views.setAccess(1, 5, 7);
    expect(views.getAccess(1, 5)).toBe(7);
  });

  test('a view that does not exist is named in the error', () => {
    const { views } = new Machine({ memoryFrames: 16 });
    expect(() => views.getAccess(1, 5)).toThrow(noSuchView);
    expect(() => views.setAccess(1, 5, 5)).toThrow(noSuchView);
    expect(() => views.destroy(1)).toThrow(noSuchView);
  });

  test.each([-1, 8, 1.5, NaN])('access %d is refused and changes nothing', (access) => {
    const { views } = new Machine({ memoryFrames: 16 });
    expect(() => views.setAccess(0, 5, access)).toThrow(badArgument);
    expect(views.getAccess(0, 5)).toBe(7);
  });

  test('a view that is destroyed takes its permissions with it, and its number is not used again', () => {
    const machine = new Machine({ views: 2, memoryFrames: 16 });
    const { views } = machine;
    const third = views.create();
    machine.switchView(0, third);
    views.setAccess(third, 5, 5);
    machine.destroyView(third);
    expect(machine.vcpu(0).view).toBe(0);
    expect(() => views.getAccess(third, 5)).toThrow(noSuchView);
    expect(() => machine.switchView(0, third)).toThrow(noSuchView);
    expect(views.create()).not.toBe(third);
    expect(() => machine.destroyView(0)).toThrow(badArgument);
  });
});
