/**
 * A fleet whose agents, archivers and broker are killed, whose network is cut and whose disks fill up, at random: each event is in the
 * archive once, or a gap counts it. PTMON_FLEET_FAULTS and PTMON_FLEET_SEED choose how many faults, and which; `npm run fleet:faults` runs it alone.
 */
import { execFile } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { describe, expect, onTestFinished, test } from 'vitest';
import { launchGuest } from '../../../src/drivers/qemu/launch/launch.ts';
import { filesOf, partitionsOf } from '../../../src/fleet/archive/partition.ts';
import { askArchive } from '../../../src/fleet/query/ask-archive.ts';
import { Random } from '../../../src/testing/random.ts';
import { ask, from } from '../../fleet/archive/duckdb.ts';
import { leftOut } from '../real-guest.ts';
import { fillDisk, freeDisk, missingForHosts, Network, Supervised } from './hosts.ts';

/** They take minutes: without PTMON_LIVE=required there are none, unless they are asked for. */
const FAULTS = Number(process.env['PTMON_FLEET_FAULTS'] ?? (process.env['PTMON_LIVE'] === 'required' ? 50 : 0));
const SEED = Number(process.env['PTMON_FLEET_SEED'] ?? 20);
const MAIN = resolve('dist/cli/main.js');
const VA = '0x340000000000';
/** Recordings of each host; slow enough that faults meet them. */
const HOSTS: Readonly<Record<string, readonly string[]>> = { one: ['tour'], two: ['fork', 'swap'], three: ['boot'] };
const SETTLE_MS = 300_000;

interface Sessions {
  readonly host: string;
  readonly vm: string;
  readonly session: string;
  readonly events: number;
  readonly distinct_events: number;
  readonly last: number | null;
  readonly missing: number;
  readonly gaps: number;
  readonly ends: number;
}

/** What a replay says of each event, by recording. */
async function eventsOf(trace: string): Promise<readonly string[]> {
  const args = [MAIN, 'replay', resolve(`traces/${trace}.trace`), '--json'];
  const { stdout } = await promisify(execFile)(process.execPath, args, { maxBuffer: 2 ** 28 });
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { kind: string; va: string; pa?: string; seq?: number })
    .filter(({ seq }) => seq !== undefined)
    .map(({ kind, va, pa = 'null' }) => `${kind} ${va} ${pa}`);
}

async function sessionsIn(archive: string): Promise<Sessions[]> {
  if (partitionsOf(archive).length === 0) return [];
  const sql = `SELECT host, vm, session, count(seq)::INTEGER AS events, count(DISTINCT seq)::INTEGER AS distinct_events,
    max(seq)::INTEGER AS last, coalesce(sum(missing), 0)::INTEGER AS missing,
    count(*) FILTER (kind = 'gap')::INTEGER AS gaps, count(*) FILTER (kind = 'end')::INTEGER AS ends
    FROM events GROUP BY host, vm, session ORDER BY host, vm, session`;
  return askArchive({ from: archive, sql }, async ({ columns, portions }) => {
    const sessions: unknown[] = [];
    for await (const rows of portions) {
      for (const row of rows) sessions.push(Object.fromEntries(row.map((value, at) => [columns[at]!, value])));
    }
    return sessions as Sessions[];
  });
}

/** What is wrong with a session; undefined where nothing is. */
function problemOf(session: Sessions): string | undefined {
  const { events, distinct_events: distinct, last, missing, gaps, ends } = session;
  const holes = (last ?? -1) + 1 - events;
  if (events !== distinct) return `${events - distinct} events are there twice`;
  if (ends + gaps === 0) return 'nothing says how it ended';
  // Also in a session whose process was killed: what is unknown is after its last line.
  if (holes > missing) return `${holes} events are missing, ${missing} are counted`;
  return undefined;
}

describe.skipIf(FAULTS === 0 || leftOut('test/live/fleet/chaos, a fleet with faults', missingForHosts))(
  'a fleet',
  () => {
    test(`after ${FAULTS} faults (seed ${SEED}), each event is in the archive once or counted as missing`, {
      timeout: 300_000 + FAULTS * 15_000,
    }, async () => {
      process.stderr.write(`PTMON_FLEET_SEED=${SEED}\n`);
      const random = new Random(SEED);
      const expected = new Map<string, readonly string[]>();
      for (const trace of Object.values(HOSTS).flat()) expected.set(`trace-${trace}`, await eventsOf(trace));
      const network = new Network();
      const processes: Supervised[] = [];
      onTestFinished(async () => {
        await Promise.all(processes.map((one) => one.stop('SIGKILL')));
        network.remove();
      });
      const vmName = `test-fleet-${process.pid}`;
      const guest = await launchGuest({ cpu: 'max', extraArguments: ['-name', vmName] });
      onTestFinished(() => guest.stop());
      await guest.waitForReady();

      writeFileSync(join(network.folder, 'token'), 'a-token-of-the-fleet');
      const brokerConfig = join(network.folder, 'nats.conf');
      writeFileSync(
        brokerConfig,
        `listen: 0.0.0.0:4222\nauthorization { token: "a-token-of-the-fleet" }\njetstream { store_dir: ${network.folder}/store }\n`,
      );
      const supervise = (host: string, command: readonly string[]) => {
        const one = new Supervised(network.namespace(host), command);
        processes.push(one);
        return one;
      };
      const broker = supervise('broker', ['nats-server', '-c', brokerConfig]);
      const brokerOf = (address: string) => ({ servers: [address], token: '../token', streamMiB: 256 });
      const policy = (name: string, content: object) => {
        const path = join(network.folder, name, 'policy.json');
        writeFileSync(path, JSON.stringify({ version: 1, ...content }));
        return path;
      };

      const archiveDisk = network.addDisk('archive', 64);
      const archivers = ['archiver-a', 'archiver-b'].map((name) => {
        const address = network.addHost(name);
        network.addDisk(name, 1);
        const path = policy(name, { folder: '../archive', fileSeconds: 1, broker: brokerOf(address) });
        return supervise(name, [process.execPath, MAIN, 'archive', '--config', path]);
      });
      const archive = join(archiveDisk, 'events');
      const hosts = Object.entries(HOSTS).map(([name, traces]) => {
        const address = network.addHost(name);
        const disk = network.addDisk(name, 24);
        const path = policy(name, {
          host: `host-${name}`,
          folder: 'data',
          rules: [{ vms: name === 'one' ? [vmName, 'trace-*'] : ['trace-*'], processes: ['work*'], intervalMs: 20 }],
          traces: traces.map((trace) => ({ file: resolve(`traces/${trace}.trace`), name: `trace-${trace}`, speed: 4 })),
          fileSeconds: 1,
          scanSeconds: 1,
          broker: brokerOf(address),
        });
        return { name, disk, agent: supervise(name, [process.execPath, MAIN, 'agent', '--config', path]) };
      });

      let isBusy = true;
      const work = (async () => {
        await guest.workload.command(`map 64 small at=${VA}`);
        for (; isBusy; await sleep(200)) {
          for (const command of [`touch ${VA} 64`, `dontneed ${VA} 64`])
            await guest.workload.command(command, { timeoutMs: 60_000 });
        }
      })();
      work.catch(() => {});

      const pick = <T>(list: readonly T[]): T => list[random.below(list.length)]!;
      const cables = [...hosts.map(({ name }) => name), 'archiver-a', 'archiver-b'];
      const faults: Readonly<Record<string, () => Promise<void>>> = {
        agent: async () => pick(hosts).agent.kill(300),
        'process of an agent': async () => {
          const pid = pick(pick(hosts).agent.children);
          if (pid !== undefined) process.kill(pid, 'SIGKILL');
        },
        broker: async () => broker.kill(random.below(2500)),
        archiver: async () => pick(archivers).kill(300),
        network: async () => {
          const host = pick(cables);
          network.setCable(host, 'down');
          await sleep(500 + random.below(6000));
          network.setCable(host, 'up');
        },
        disk: async () => {
          const disk = pick([archiveDisk, ...hosts.map((host) => host.disk)]);
          fillDisk(disk);
          await sleep(500 + random.below(3000));
          freeDisk(disk);
        },
      };
      const names = Object.keys(faults);
      const startMs = performance.now();
      const lasting: Promise<void>[] = [];
      for (let count = 0; count < FAULTS; count++) {
        await sleep(random.below(2000));
        // Each kind comes in turn, at another moment and to another host, also while another fault lasts.
        lasting.push(faults[names[count % names.length]!]!());
      }
      await Promise.all(lasting);

      const overMs = performance.now();
      const limit = overMs + SETTLE_MS;
      const waitFor = async (what: string, problems: () => Promise<readonly string[]>) => {
        for (let left = await problems(); left.length > 0; left = await problems()) {
          if (performance.now() > limit) {
            const logs = processes.map(({ log }) => log.slice(-1500)).join('\n--\n');
            throw new Error(`${what}:\n${left.join('\n')}\n${logs}`);
          }
          await sleep(1000);
        }
      };
      await waitFor('recordings that have not come to their end', async () => {
        const sessions = await sessionsIn(archive);
        const isWhole = ({ events, missing }: Sessions, total: number) => events + missing === total;
        return [...expected].flatMap(([vm, { length }]) =>
          sessions.some((one) => one.vm === vm && isWhole(one, length)) ? [] : [vm],
        );
      });
      isBusy = false;
      await work;
      // One that the last fault has killed may only just be starting: it hears signals before it has processes.
      await waitFor('agents that have not begun', async () =>
        hosts.flatMap(({ name, agent }) => (agent.children.length === 0 ? [name] : [])),
      );
      for (const { agent, disk } of hosts) {
        expect(await agent.stop(), agent.log.slice(-3000)).toBe(0);
        expect(readdirSync(join(disk, 'data/journal'))).toEqual([]);
      }
      await waitFor('sessions that are not right', async () =>
        (await sessionsIn(archive)).flatMap((session) => {
          const problem = problemOf(session);
          return problem === undefined ? [] : [`${session.host} ${session.vm} ${session.session}: ${problem}`];
        }),
      );
      const rightMs = performance.now();
      for (const archiver of archivers) await archiver.stop();
      await broker.stop();

      const sessions = await sessionsIn(archive);
      expect(sessions.find(({ vm }) => vm === vmName)).toMatchObject({ host: 'host-one' });
      // The values of each event are those of the recording.
      const hex = (column: string) => `coalesce('0x' || lower(hex(${column})), 'null')`;
      const rows = await ask(`SELECT vm, seq::INTEGER AS seq, kind || ' ' || ${hex('va')} || ' ' || ${hex('pa')} AS text
      FROM ${from(partitionsOf(archive).flatMap(filesOf))} WHERE seq IS NOT NULL AND vm LIKE 'trace-%'`);
      const wrong = rows.filter(({ vm, seq, text }) => expected.get(String(vm))?.[Number(seq)] !== text);
      expect(wrong.slice(0, 5)).toEqual([]);
      const total = (key: 'events' | 'missing') => sessions.reduce((sum, session) => sum + session[key], 0);
      const seconds = (fromMs: number, toMs: number) => `${((toMs - fromMs) / 1000).toFixed(0)} s`;
      process.stderr.write(
        `${FAULTS} faults, seed ${SEED}, in ${seconds(startMs, overMs)}, all archived ${seconds(overMs, rightMs)} later: ` +
          `${sessions.length} sessions, ${total('events')} events once, ${total('missing')} counted as missing\n`,
      );
    });
  },
);
