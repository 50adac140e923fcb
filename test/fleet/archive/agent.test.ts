/** `ptmon agent` with its archive, as processes: after kills at random, each event is there once. */
import { resolve, join } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { filesOf, partitionsOf } from '../../../src/fleet/archive/partition.ts';
import { run } from '../../cli/run.ts';
import { policyOf, startAgent } from '../agent-process.ts';
import { ask, from } from './duckdb.ts';

async function eventCount(name: string): Promise<number> {
  const { stdout } = await run(['replay', resolve(`traces/${name}.trace`), '--json']);
  return stdout.match(/"seq":/g)!.length;
}

/** The process that moves the journal. */
function keeperOf(agent: number, watchers: readonly (number | null)[]): number | undefined {
  // proc(5): the children of the main thread, which starts all of them.
  return readFileSync(`/proc/${agent}/task/${agent}/children`, 'latin1')
    .trim()
    .split(' ')
    .map(Number)
    .find((pid) => pid > 0 && !watchers.includes(pid));
}

test('the archive has each event of each VM once, although its process is killed', { timeout: 180_000 }, async () => {
  const traces = ['tour', 'swap', 'fork'].map((name) => ({
    file: resolve(`traces/${name}.trace`),
    name: `test-${name}`,
    speed: 6,
  }));
  const hostile = { file: resolve('traces/huge.trace'), name: 'test-../../../evil' };
  const agent = await startAgent(policyOf([...traces, hostile], { format: 'parquet' }));
  let kills = 0;
  while ((await agent.status()).vms.some(({ state }) => state !== 'done')) {
    const keeper = keeperOf(
      agent.child.pid!,
      (await agent.status()).vms.map(({ pid }) => pid),
    );
    if (keeper !== undefined && kills < 5) {
      process.kill(keeper, 'SIGKILL');
      kills++;
    }
    await sleep(400);
  }
  expect(kills).toBeGreaterThan(0);
  expect(await agent.kill('SIGTERM')).toBe(0);
  expect(readdirSync(agent.folder).sort()).toEqual(['data', 'policy.json']);
  expect(readdirSync(join(agent.folder, 'data/journal'))).toEqual([]);
  const files = partitionsOf(join(agent.folder, 'data/events')).flatMap(filesOf);
  const rows = await ask(
    `SELECT vm, count(seq)::INTEGER AS events, count(DISTINCT seq)::INTEGER AS distinct_events, count(DISTINCT session)::INTEGER AS sessions,
      count(*) FILTER (kind = 'gap')::INTEGER AS gaps FROM ${from(files)} GROUP BY vm ORDER BY vm`,
  );
  const expected = async (name: string, trace: string) => {
    const events = await eventCount(trace);
    return { vm: name, events, distinct_events: events, sessions: 1, gaps: 0 };
  };
  expect(rows).toEqual([
    await expected('test-../../../evil', 'huge'),
    await expected('test-fork', 'fork'),
    await expected('test-swap', 'swap'),
    await expected('test-tour', 'tour'),
  ]);
});

test('Ctrl-C ends the agent, and its processes once they are done', { timeout: 120_000 }, async () => {
  const trace = { file: resolve('traces/tour.trace'), name: 'test-tour', speed: 6 };
  const agent = await startAgent(policyOf([trace], { format: 'parquet', fileSeconds: 60 }));
  await agent.until(async () => (await agent.status()).vms.some(({ counts }) => counts.events > 100));
  expect(await agent.killGroup('SIGINT'), agent.stderr()).toBe(0);
  expect(agent.stderr()).not.toMatch(/again/);
  expect(readdirSync(join(agent.folder, 'data/journal'))).toEqual([]);
  const files = partitionsOf(join(agent.folder, 'data/events')).flatMap(filesOf);
  const [row] = await ask(
    `SELECT count(seq)::INTEGER AS events, max(seq)::INTEGER AS last, count(*) FILTER (kind = 'end')::INTEGER AS ends,
      count(*) FILTER (kind = 'gap')::INTEGER AS gaps FROM ${from(files)}`,
  );
  expect(row).toMatchObject({ ends: 1, gaps: 0 });
  expect(row!['events']).toBeGreaterThan(100);
  // The first has number 0: none is missing.
  expect(row!['last']).toBe(Number(row!['events']) - 1);
});
