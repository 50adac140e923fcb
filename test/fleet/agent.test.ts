/** `ptmon agent` as a process: each VM by a process of its own, which may be killed; the policy, anew; and the end. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { expect, onTestFinished, test } from 'vitest';
import { run } from '../cli/run.ts';
import { makeFolder, policyOf, runs, startAgent, writePolicy } from './agent-process.ts';

const TRACES = ['tour', 'fork', 'swap'].map((name) => ({
  file: resolve(`traces/${name}.trace`),
  name: `test-${name}`,
}));
/** So slow that it lasts. */
const SLOW = { file: resolve('traces/tour.trace'), name: 'test-slow', speed: 0.05 };

/** Events of a recording, as a replay prints them. */
async function eventsOf(name: string): Promise<Record<string, unknown>[]> {
  const { stdout } = await run(['replay', resolve(`traces/${name}.trace`), '--json', '--time']);
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
    .filter(({ seq }) => seq !== undefined);
}

test('the journal has each event of each VM once, in its order', { timeout: 120_000 }, async () => {
  const agent = await startAgent(policyOf(TRACES));
  await agent.until(async () => (await agent.status()).vms.every(({ state }) => state === 'done'));
  expect(await agent.kill('SIGTERM')).toBe(0);
  for (const name of ['tour', 'fork', 'swap']) {
    const lines = agent.lines().filter(({ of, seq }) => of['vm'] === `test-${name}` && seq !== undefined);
    const { of } = lines[0]!;
    expect(lines).toEqual((await eventsOf(name)).map((event) => ({ ...event, of: expect.anything() })));
    expect(new Set(lines.map(({ of }) => of['session'])).size).toBe(1);
    expect(of['host']).toBe('host-1');
  }
  expect(existsSync(join(agent.folder, 'data/agent.lock'))).toBe(false);
});

test('a process that is killed is started again, and the others go on', { timeout: 120_000 }, async () => {
  const agent = await startAgent(policyOf([SLOW, { ...SLOW, name: 'test-other' }]));
  const find = async (name: string) => (await agent.status()).vms.find(({ vm }) => vm === name)!;
  await agent.until(async () => (await find('test-slow')).counts.events > 0);
  const [slow, other] = [await find('test-slow'), await find('test-other')];
  process.kill(slow.pid!, 'SIGKILL');
  await agent.until(async () => (await find('test-slow')).restarts === 1);
  expect((await find('test-other')).pid).toBe(other.pid);
  expect(agent.lines().filter(({ kind }) => kind === 'gap')).toMatchObject([
    { count: null, reason: 'the watching process was ended by SIGKILL', of: { vm: 'test-slow' } },
  ]);
  expect(await agent.kill('SIGTERM')).toBe(0);
});

test('a VM for which there are no files left is tried again, and the others go on', { timeout: 120_000 }, async () => {
  const traces = Array.from({ length: 16 }, (_, at) => ({ ...SLOW, name: `test-${at}` }));
  const agent = await startAgent(policyOf(traces), makeFolder(), 44);
  await agent.until(() => /VM test-\d+: spawn .* EMFILE\n/.test(agent.stderr()));
  await agent.until(() => /VM test-\d+: the watch ended with -\d+; it begins again in 2 s/.test(agent.stderr()));
  await agent.until(() => agent.lines().some(({ seq, of }) => seq !== undefined && of['vm'] === 'test-0'));
  expect(await agent.kill('SIGTERM')).toBe(0);
});

test('a watch that fails begins again', { timeout: 120_000 }, async () => {
  const file = join(makeFolder(), 'damaged.trace');
  writeFileSync(file, 'not a trace');
  const agent = await startAgent(policyOf([{ file, name: 'test-damaged' }]));
  await agent.until(async () => ((await agent.status()).vms[0]?.restarts ?? 0) > 0);
  expect(agent.stderr()).toMatch(/VM test-damaged: the watch ended with \d; it begins again in \d+ s/);
  expect(await agent.kill('SIGTERM')).toBe(0);
});

test("the heap of a VM's process has its limit", { timeout: 120_000 }, async () => {
  const agent = await startAgent(policyOf([SLOW], { memoryMiB: 32 }));
  await agent.until(async () => (await agent.status()).vms[0]!.pid !== null);
  const { pid } = (await agent.status()).vms[0]!;
  const args = readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0');
  expect(args).toContain('--max-old-space-size=32');
  expect(await agent.kill('SIGTERM')).toBe(0);
});

test('the processes of an agent that is killed end, and the next agent takes its folder over', {
  timeout: 120_000,
}, async () => {
  const folder = makeFolder();
  const first = await startAgent(policyOf([SLOW]), folder);
  await first.until(async () => ((await first.status()).vms[0]?.counts.events ?? 0) > 0);
  const { pid } = (await first.status()).vms[0]!;
  await first.kill('SIGKILL');
  const second = await startAgent(policyOf([SLOW]), folder);
  await second.until(() => !runs(pid!));
  expect(await second.kill('SIGTERM')).toBe(0);
  const sessions = new Set(second.lines().map(({ of }) => of['session']));
  expect(sessions.size).toBe(2);
});

test('a name of a VM makes no line of the log', { timeout: 120_000 }, async () => {
  const agent = await startAgent(policyOf([{ ...SLOW, name: 'test-a\nVM test-b: all is well' }]));
  await agent.until(() => agent.stderr().includes('watched from now on'));
  expect(agent.stderr()).not.toMatch(/^VM test-b/m);
  await agent.kill('SIGTERM');
});

test('a second agent does not use the folder of the first', { timeout: 120_000 }, async () => {
  const agent = await startAgent(policyOf([SLOW]));
  const { code, stderr } = await run(['agent', '--config', agent.policyPath]);
  expect(code).toBe(2);
  expect(stderr).toContain(`the agent with PID ${agent.child.pid} uses this folder`);
  expect(await agent.kill('SIGINT')).toBe(0);
});

test('SIGHUP reads the policy anew: VMs come, go, and stay', { timeout: 120_000 }, async () => {
  const agent = await startAgent(policyOf([SLOW, { ...SLOW, name: 'test-leaves' }]));
  const pidOf = async (name: string) => (await agent.status()).vms.find(({ vm }) => vm === name)?.pid;
  await agent.until(async () => (await agent.status()).vms.every(({ counts }) => counts.events > 0));
  const before = await pidOf('test-slow');
  const leaving = await pidOf('test-leaves');

  writePolicy(agent.folder, { version: 1, folder: 'data', rules: 7 });
  agent.child.kill('SIGHUP');
  await agent.until(() => agent.stderr().includes('rules: 7: expected a list'));
  expect(agent.stderr()).toContain('The previous policy stays in force.');
  expect((await agent.status()).reloads).toBe(0);

  const more = { host: 'another', keepDays: 3, memoryMiB: 300 };
  writePolicy(agent.folder, policyOf([SLOW, { ...SLOW, name: 'test-comes' }], more));
  agent.child.kill('SIGHUP');
  await agent.until(async () => (await pidOf('test-comes')) !== undefined && !runs(leaving!));
  expect(await pidOf('test-slow')).toBe(before);
  expect(await pidOf('test-leaves')).toBeUndefined();
  expect(JSON.parse((await agent.get('/healthz')).text)).toMatchObject({ reloads: 1, host: 'host-1' });
  expect(agent.stderr()).toContain(
    'policy.json is in force. Restart the agent for the new host, keepDays: until then the old holds. ' +
      'The new memoryMiB holds for VMs that are watched from now on; restart for all.\n',
  );
  expect(await agent.kill('SIGTERM')).toBe(0);
});

test('a VM that floods is limited to its rate, and the rest of its events is counted', {
  timeout: 120_000,
}, async () => {
  const rules = [{ vms: ['test-fork'], maxEventsPerSecond: 100 }, { vms: ['test-*'] }];
  const agent = await startAgent(policyOf(TRACES, { rules }));
  await agent.until(async () => (await agent.status()).vms.every(({ state }) => state === 'done'));
  await agent.kill('SIGTERM');
  const of = (name: string) => agent.lines().filter((line) => line.of['vm'] === name);
  const gaps = of('test-fork').filter(({ kind }) => kind === 'gap');
  const missing = gaps.reduce((sum, { count }) => sum + Number(count), 0);
  const kept = of('test-fork').filter(({ seq }) => seq !== undefined).length;
  expect(missing).toBeGreaterThan(0);
  expect(kept + missing).toBe((await eventsOf('fork')).length);
  expect(of('test-tour').filter(({ seq }) => seq !== undefined)).toHaveLength((await eventsOf('tour')).length);
});

test('a disk that is full from the start: what it does not take is counted once there is room', {
  timeout: 120_000,
}, async (context) => {
  const folder = makeFolder();
  const data = join(folder, 'data');
  mkdirSync(data);
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', data]);
  if (mounted.status !== 0) return context.skip('needs mount(8), as root');
  onTestFinished(() => void execFileSync('umount', ['-l', data]));
  const filling = join(data, 'filling');
  // Room for the lock alone.
  writeFileSync(filling, Buffer.alloc(4 * 2 ** 20 - 4096));
  const agent = await startAgent(policyOf([{ ...TRACES[0], speed: 4 }]), folder);
  await agent.until(async () => ((await agent.status()).vms[0]?.counts.unwritten ?? 0) > 0);
  rmSync(filling);
  await agent.until(async () => (await agent.status()).vms[0]!.state === 'done');
  expect(await agent.kill('SIGTERM')).toBe(0);
  const gaps = agent.lines().filter(({ kind }) => kind === 'gap');
  const missing = gaps.reduce((sum, { count }) => sum + Number(count), 0);
  expect(missing).toBeGreaterThan(0);
  expect(agent.lines().filter(({ seq }) => seq !== undefined).length + missing).toBe((await eventsOf('tour')).length);
});

test('health and metrics', { timeout: 120_000 }, async () => {
  const hostile = { ...SLOW, name: 'test-"\n}evil' };
  const agent = await startAgent(policyOf([SLOW, hostile]));
  await agent.until(async () => (await agent.get('/healthz')).status === 200);
  const { text } = await agent.get('/metrics');
  expect(text).toContain('# TYPE ptmon_agent_vm_events_total counter\n');
  expect(text).toMatch(/^ptmon_agent_vm_watched\{vm="test-slow",boot="[0-9a-f]{16}"\} 1$/m);
  expect(text).toMatch(/^ptmon_agent_vm_watched\{vm="test-\\"\\n\}evil",boot="[0-9a-f]{16}"\} 1$/m);
  // Prometheus' own reader, where it is installed.
  const { status, stdout, stderr, error } = spawnSync('promtool', ['check', 'metrics'], {
    input: text,
    encoding: 'utf8',
  });
  if (error === undefined) expect([status, stdout, stderr]).toEqual([0, '', '']);
  expect((await agent.get('/')).status).toBe(404);
  expect((await agent.get('/metrics', { host: 'evil.example' })).status).toBe(403);
  const listening = execFileSync(
    'sh',
    ['-c', `cat /proc/${agent.child.pid}/net/tcp /proc/${agent.child.pid}/net/tcp6`],
    {
      encoding: 'utf8',
    },
  );
  const port = Number(/127\.0\.0\.1:(\d+)/.exec(agent.stderr())![1]);
  const own = listening
    .split('\n')
    .filter((line) => line.includes(`:${port.toString(16).toUpperCase().padStart(4, '0')} `) && / 0A /.test(line));
  expect(own).toHaveLength(1);
  expect(own[0]).toContain('0100007F:');
  await agent.kill('SIGTERM');
});

test('--check prints the policy, and --list what it would watch', async () => {
  const folder = makeFolder();
  const path = writePolicy(folder, policyOf([SLOW]));
  const checked = await run(['agent', '--config', path, '--check']);
  expect(JSON.parse(checked.stdout)).toMatchObject({ version: 1, scanSeconds: 5, memoryMiB: 256 });
  const listed = await run(['agent', '--config', path, '--list']);
  expect(listed.stdout).toMatch(/^vm +rule +watch +problem\ntest-slow +rules\[0\] +recording\n$/);
  expect(existsSync(join(folder, 'data'))).toBe(false);
});

test('agent-worker is for agents', () => {
  const { status, stderr } = spawnSync(process.execPath, ['dist/cli/main.js', 'agent-worker'], { encoding: 'utf8' });
  expect([status, stderr]).toEqual([2, expect.stringContaining('is started by ptmon agent')]);
});
