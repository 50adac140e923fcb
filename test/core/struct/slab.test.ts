import { describe, expect, test } from 'vitest';
import { Slab } from '../../../src/core/struct/slab.ts';

describe('a slab', () => {
  test('gives out places that are free again, and no other', () => {
    const slab = new Slab<string>();
    const places = ['a', 'b', 'c'].map((each) => slab.put(each));
    expect(new Set(places).size).toBe(3);
    slab.free(places[1]!);
    expect(slab.put('d')).toBe(places[1]);
    expect(slab.put('e')).toBe(3);
    expect([...places, 3].map((place) => slab.get(place))).toEqual(['a', 'd', 'c', 'e']);
  });
});
