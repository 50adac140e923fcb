/** `ptmon top` of a real guest, in a terminal that tmux makes. */
import { execFileSync, spawnSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mappedPages } from '../web/browser.ts';
import { startPtmon } from './ptmon-process.ts';
import { leftOut } from './real-guest.ts';
import { WatchedGuest } from './watched-guest.ts';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const VA = '0x300000000000';
const SOCKET = `ptmon-top-${process.pid}`;

const noTmux = () => (spawnSync('tmux', ['-V']).status === 0 ? undefined : 'there is no tmux: apt-get install tmux');
const tmux = (...args: readonly string[]) => execFileSync('tmux', ['-L', SOCKET, ...args], { encoding: 'utf8' });

describe.skipIf(leftOut('ptmon top in a terminal', noTmux))('ptmon top', { timeout: 120_000 }, () => {
  let machine: WatchedGuest;
  beforeAll(async () => {
    machine = await WatchedGuest.boot({ cpu: 'max,la57=off' });
    await machine.guest.workload.command(`map 4096 small at=${VA}`);
  }, 180_000);
  afterAll(async () => {
    spawnSync('tmux', ['-L', SOCKET, 'kill-server']);
    await machine?.stop();
  });

  /** Runs top in a terminal of this size, with a shell below it that shows how it has ended. */
  async function inTerminal(
    columns: number,
    rows: number,
    look: (screen: () => string, keys: (...keys: string[]) => void) => Promise<void>,
  ): Promise<string> {
    const name = `t${columns}`;
    const command = `'${process.execPath}' '${MAIN}' top --qmp '${machine.guest.qmpPath}' --interval 200; echo "ended with $?"; exec sleep 100`;
    tmux('new-session', '-d', '-s', name, '-x', String(columns), '-y', String(rows), command);
    const screen = () => tmux('capture-pane', '-p', '-t', name);
    await look(screen, (...keys) => tmux('send-keys', '-t', name, ...keys));
    await expect.poll(screen, { timeout: 30_000 }).toContain('ended with');
    const last = screen();
    tmux('kill-session', '-t', name);
    return last;
  }

  test.each([
    [80, 24],
    [100, 30],
    [200, 50],
  ])('shows what the workload does, and its areas, at %ix%i', async (columns, rows) => {
    const last = await inTerminal(columns, rows, async (screen, keys) => {
      await expect.poll(screen, { timeout: 60_000 }).toMatch(/PID COMMAND +RESIDENT[^]*\d+ workload +\d+/);
      const lines = screen().split('\n');
      expect(lines.filter((line) => line.length > columns)).toEqual([]);
      expect(lines[0]).toMatch(/^ptmon top .*sampled every 0\.2 s$/);
      // 4096 pages come: 16 MiB more, and at some look a rate.
      let sawRate = false;
      const touching = machine.guest.workload.command(`touch ${VA} 4096`, { timeoutMs: 60_000 });
      for (let at = 0; at < 300 && !(sawRate && /workload +1[67]\.\dM/.test(screen())); at++) {
        sawRate ||= /workload +\S+ +[1-9]\d*(?:\.\d)? /.test(screen());
        await sleep(50);
      }
      await touching;
      expect(sawRate, screen()).toBe(true);
      expect(screen()).toMatch(/workload +1[67]\.\dM/);
      keys('p');
      await expect.poll(() => screen().split('\n')[3], { timeout: 20_000 }).toMatch(/^ +1 init /);
      keys('r', 'Home', 'Enter');
      await expect.poll(screen, { timeout: 20_000 }).toMatch(/START +RIGHTS +SIZE +RESIDENT +SWAP NAME[^]*\[heap\]/);
      expect(screen()).toMatch(/0x300000000000 +rw-p +16M +16M/);
      keys('Escape');
      await expect.poll(screen, { timeout: 20_000 }).toContain('PID COMMAND');
      await machine.guest.workload.command(`dontneed ${VA} 4096`);
      keys('q');
    });
    expect(last).toContain('ended with 0');
    expect(last).not.toContain('PID COMMAND');
    expect(last).not.toContain('The guest has ended');
  });

  test('Ctrl-C ends it as a signal does, and gives the terminal back', async () => {
    const last = await inTerminal(81, 24, async (screen, keys) => {
      await expect.poll(screen, { timeout: 60_000 }).toContain('workload');
      keys('C-c');
    });
    expect(last).toContain('ended with 130');
  });

  test('without a terminal it prints lists, or lines of JSON', async () => {
    const list = startPtmon('top', '--qmp', machine.guest.qmpPath, '--count', '2', '--interval', '200');
    expect(await list.ended, list.stderr).toBe(0);
    expect(list.stdout.match(/PID COMMAND/g)).toHaveLength(2);
    expect(list.stdout).not.toContain('\u001b');
    expect(list.stderr).toBe('');
    const json = startPtmon('top', '--qmp', machine.guest.qmpPath, '--json', '--count', '1', '--interval', '200');
    expect(await json.ended, json.stderr).toBe(0);
    const rows = json.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { command: string; resident: number });
    const { qmpPath, gdbPath } = machine.guest;
    const args = ['--qmp', qmpPath, '--gdb', gdbPath, '--pid', String(machine.pid), '--user', '--runs', '--json'];
    const map = startPtmon('map', ...args);
    expect(await map.ended, map.stderr).toBe(0);
    const mapped = mappedPages(map.stdout).size * 4096;
    expect(rows.find(({ command }) => command === 'workload')?.resident).toBe(mapped);
  });

  test('a guest that ends ends it', async () => {
    const last = await inTerminal(90, 24, async (screen) => {
      await expect.poll(screen, { timeout: 60_000 }).toContain('workload');
      await machine.stop();
    });
    expect(last).toMatch(/The guest has ended\.|does not answer|closed/);
  });
});
