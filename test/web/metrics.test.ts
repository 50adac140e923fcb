import { Counter, Gauge, Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { metricsText } from '../../src/web/server/metrics.ts';
import type { SourceCounts } from '../../src/web/scene/scene-source.ts';
import { fileSource, HOSTILE, hostileScene } from './scenes.ts';

const row = { state: 'running', swapped: 1, large: 512, pagesIn: 0, pagesOut: 0, copies: 0, followed: false };

test('is what prom-client writes, also of names that a guest has chosen badly', async () => {
  const names = ['nginx', HOSTILE, 'a"b\\c\nd', ''];
  const counts: SourceCounts = {
    up: true,
    events: { 'page-in': 3, 'root-gone': 1 },
    pages: { 'page-in': 700 },
    processes: names.map((name, pid) => ({ ...row, pid, name, resident: 1000 - pid })),
  };
  const source = Object.assign(fileSource(hostileScene()), { counts: () => counts });
  const text = metricsText(source);

  const registry = new Registry();
  const registers = [registry];
  new Gauge({ name: 'ptmon_up', help: 'Whether the guest is still there; 1 for a file.', registers }).set(1);
  for (const [name, help, values] of [
    ['ptmon_events_total', 'Events of followed processes, by kind.', counts.events],
    ['ptmon_event_pages_total', '4 KiB pages that these events are about, by kind.', counts.pages],
  ] as const) {
    const counter = new Counter({ name, help, labelNames: ['kind'], registers });
    for (const kind of ['page-in', 'page-out', 'protection', 'restructure', 'root-gone'] as const)
      counter.inc({ kind }, values[kind] ?? 0);
  }
  new Gauge({ name: 'ptmon_processes', help: 'Processes with memory of their own.', registers }).set(4);
  const memory = new Gauge({
    name: 'ptmon_process_memory_bytes',
    help: 'Memory of the largest processes: resident, in leaves larger than 4 KiB (large), swapped.',
    labelNames: ['pid', 'comm', 'state'],
    registers,
  });
  for (const { pid, name, ...pages } of counts.processes) {
    for (const state of ['resident', 'large', 'swapped'] as const)
      memory.set({ pid: String(pid), comm: name, state }, pages[state] * 4096);
  }
  expect(text).toBe(await registry.metrics());
});
