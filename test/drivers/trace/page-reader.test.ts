import { expect, test } from 'vitest';
import type { StateRecord, StepRecord } from '../../../src/drivers/trace/format/records.ts';
import { TraceReader } from '../../../src/drivers/trace/index.ts';
import type { MonitorEvent } from '../../../src/core/monitor/events.ts';
import { type PageRecord, readByThePage } from './page-reader.ts';
import { recordSim } from './sessions.ts';
import { temporaryFolder } from './temporary-folder.ts';

const file = temporaryFolder();

/** A record of ours, in the words of the page. */
function asOnThePage(record: StateRecord | StepRecord): PageRecord {
  switch (record.type) {
    case 'table': {
      const slots: Record<number, bigint> = {};
      for (let slot = 0; slot < 512; slot++) {
        const value = (BigInt(record.words[2 * slot + 1]!) << 32n) | BigInt(record.words[2 * slot]!);
        if (value !== 0n) slots[slot] = value;
      }
      return { name: 'table', frame: record.gfn, slots };
    }
    case 'no-memory':
      return { name: 'no-memory', frame: record.gfn };
    case 'left':
      return { name: 'left', frames: record.gfns };
    case 'changes':
      return {
        name: 'changes',
        capture: record.capture === 'write' ? 0 : 1,
        changes: record.changes.map(({ pa, lo, hi }) => [pa, (BigInt(hi) << 32n) | BigInt(lo)]),
      };
    case 'registers':
      return { name: 'registers', vcpu: record.vcpu, ...record.registers };
    case 'note':
      return { name: 'note', text: record.text };
    case 'names':
      return { name: 'names', found: record.found, names: record.names };
    case 'owners':
      return { name: 'owners', runs: record.runs };
    case 'said': {
      const { kind: name, ...fields } = record.said;
      return { name, ...fields };
    }
    case 'call': {
      const { kind: name, ...fields } = record.call;
      return { name, ...fields };
    }
  }
}

let named = 0;
/** Names the process of most events, and its area. */
const system = {
  words: () => new Float64Array(),
  update: async () => [],
  label: async (events: readonly MonitorEvent[]) =>
    events.map((event) => {
      const pid = named++ % 3;
      const owner = { pid, comm: `p${pid}`, ...(pid === 2 && { map: '/usr/bin/näme' }) };
      return { ...event, tags: [`p${pid}`, 'x'], ...(pid > 0 && owner) };
    }),
};

test('a reader written from docs/formats/trace.md alone reads what ours reads', async () => {
  const path = file('sim.trace');
  await recordSim(path, { seed: 11, steps: 80, vcpus: 2 }, [], system);
  const reader = new TraceReader(path);
  const ours: PageRecord[] = [];
  let timeUs = 0;
  for (const instant of reader.instants()) {
    ours.push(...[...instant.state, ...instant.steps].map(asOnThePage));
    ours.push({ name: 'instant', sinceUs: instant.timeUs - timeUs });
    timeUs = instant.timeUs;
  }
  ours.push({ name: 'end', how: reader.end?.ended, text: '' });
  reader.close();
  const page = readByThePage(path);
  expect(page.records).toEqual(ours);
  expect(page.records.length).toBeGreaterThan(200);
  expect(new Set(page.records.map(({ name }) => name)).size).toBeGreaterThan(9);
  expect(page.records.filter(({ name }) => name === 'owners').length).toBeGreaterThan(10);
  expect(page.about).toMatchObject({ source: 'sim', capture: 'protection', title: 'a simulated guest', vcpuCount: 2 });
  expect(page.about['paging']).toMatchObject({ mode: '4-level', encryptionMask: '0x0' });
});
