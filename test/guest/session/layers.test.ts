/** Several layers as one: what none of them sees. */
import { expect, test } from 'vitest';
import { type EventLayer, Layers } from '../../../src/guest/session/layers.ts';

function layer(blindTo?: string): EventLayer {
  return {
    words: () => new Float64Array(),
    ...(blindTo !== undefined && { blindTo }),
    update: async () => [],
    label: async (events) => events,
    take: async () => {},
  };
}

test('what one layer is blind to, all of them are', () => {
  const layers = new Layers(() => {});
  expect(layers.blindTo).toBeUndefined();
  layers.add(layer());
  expect(layers.blindTo).toBeUndefined();
  const hooks = layer('processes may come and go');
  layers.add(hooks);
  layers.add(layer('processes may come and go'));
  layers.add(layer('areas may come and go'));
  expect(layers.blindTo).toBe('processes may come and go; areas may come and go');
});
