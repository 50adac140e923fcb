import { readFileSync } from 'node:fs';
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

test('the board for Grafana asks only for what there is', () => {
  const processes = [{ ...row, pid: 7, name: 'nginx', resident: 1000 }];
  const counts: SourceCounts = { up: true, events: { 'page-in': 3 }, pages: { 'page-in': 700 }, processes };
  const series = metricsText(Object.assign(fileSource(hostileScene()), { counts: () => counts })).split('\n');
  const board = readFileSync(new URL('../../docs/grafana/ptmon.json', import.meta.url), 'utf8');
  const targets = [...board.matchAll(/"expr": ("(?:[^"\\]|\\.)*")(?:,\s*"legendFormat": ("(?:[^"\\]|\\.)*"))?/g)];
  expect(targets.length).toBe(board.split('"expr"').length - 1);
  const asked = new Set<string>();
  for (const [, expr, legend = '""'] of targets) {
    for (const [, name, matchers = ''] of (JSON.parse(expr!) as string).matchAll(/(ptmon_\w+)(?:\{([^}]*)\})?/g)) {
      asked.add(name!);
      const legendLabels = [...(JSON.parse(legend) as string).matchAll(/\{\{(\w+)\}\}/g)].map(
        ([, label]) => `${label}="`,
      );
      const wanted = [...matchers.split(',').map((text) => text.replace(/=~.*/, '="')), ...legendLabels];
      const fits = (line: string) =>
        new RegExp(`^${name}[ {]`).test(line) && wanted.every((text) => line.includes(text));
      expect(series.filter(fits), `${expr} ${legend}`).not.toEqual([]);
    }
  }
  for (const [, name, label] of board.matchAll(/label_values\((\w+), (\w+)\)/g))
    expect(series.some((line) => line.startsWith(`${name}{`) && line.includes(`${label}="`))).toBe(true);
  const told = series.flatMap((line) => /^# TYPE (\S+)/.exec(line)?.[1] ?? []);
  expect([...asked].toSorted()).toEqual(told.toSorted());
});
