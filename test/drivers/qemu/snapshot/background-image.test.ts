/** Images of a running guest, against a QMP server that migrates as a test says. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { describe, expect, test } from 'vitest';
import { saveBackgroundImage } from '../../../../src/drivers/qemu/snapshot/background-image.ts';
import { type QmpServer, refusing, returning, startQmpServer } from '../qmp/qmp-server.ts';

interface Behaviour {
  readonly runState?: string;
  /** What `query-migrate` says before. */
  readonly before?: string;
  /** Refuses this command. */
  readonly refuses?: string;
  /** What becomes of the migration. */
  readonly outcome?: 'completed' | 'failed';
  /** The stream is sent once this resolves. */
  readonly after?: Promise<void>;
  /** Does not send the stream. */
  readonly isDeaf?: boolean;
}

const STREAM = Buffer.alloc(300_000, 'QEVM');

async function startQemu(behaviour: Behaviour = {}): Promise<QmpServer & { folder(): string }> {
  const { runState = 'running', before = 'none', refuses, outcome = 'completed', after, isDeaf = false } = behaviour;
  let status = before;
  let socketPath = '';
  const migrate = () => {
    status = 'active';
    if (isDeaf) status = outcome;
    else void (after ?? Promise.resolve()).then(() => connect(socketPath).end(STREAM, () => (status = outcome)));
  };
  const values: Readonly<Record<string, () => unknown>> = {
    'query-status': () => ({ status: runState, running: runState === 'running' }),
    'query-migrate': () => ({ status, downtime: 7, ...(status === 'failed' && { 'error-desc': 'no space' }) }),
    'query-migrate-parameters': () => ({ 'max-bandwidth': 1234 }),
    migrate: () => (migrate(), {}),
  };
  const server = await startQmpServer((command, socket) => {
    if (command.execute === 'migrate') socketPath = String(command.arguments?.['uri']).replace(/^unix:/, '');
    if (command.execute === refuses) return void socket.write(refusing(command, 'GenericError', 'it is not supported'));
    socket.write(returning(command, values[command.execute]?.() ?? {}));
  });
  return { ...server, folder: () => dirname(socketPath) };
}

/** What was set last of the two settings. */
function settings({ commands }: QmpServer): unknown[] {
  const last = (name: string) => commands.filter(({ execute }) => execute === name).at(-1)?.arguments;
  return [last('migrate-set-capabilities'), last('migrate-set-parameters')];
}

const AS_BEFORE = [{ capabilities: [{ capability: 'background-snapshot', state: false }] }, { 'max-bandwidth': 1234 }];

describe('an image of a running guest', () => {
  test('is what QEMU sends, in a file that its user alone may read, until it is removed', async () => {
    const qemu = await startQemu();
    const image = await saveBackgroundImage({ qmp: qemu.address });
    expect(readFileSync(image.path).equals(STREAM)).toBe(true);
    expect(statSync(image.path).mode & 0o777).toBe(0o600);
    expect(image.stoppedMs).toBe(7);
    expect(settings(qemu)).toEqual(AS_BEFORE);
    expect(existsSync(`${qemu.folder()}/stream`)).toBe(false);
    image.remove();
    image.remove();
    expect(existsSync(qemu.folder())).toBe(false);
  });

  const faults: readonly [name: string, behaviour: Behaviour, code: string, message: RegExp, wasSet: boolean][] = [
    [
      'a paused guest',
      { runState: 'paused' },
      'bad-argument',
      /the guest is stopped \(paused\).* drop --consistent/,
      false,
    ],
    ['a guest that migrates', { before: 'active' }, 'source-unavailable', /the guest is migrating/, false],
    [
      'a host without write protection',
      { refuses: 'migrate-set-capabilities' },
      'source-unavailable',
      /cannot save the running guest by a background snapshot: it is not supported/,
      false,
    ],
    ['a guest that cannot migrate', { refuses: 'migrate' }, 'source-unavailable', /it is not supported/, true],
    ['a migration that fails', { outcome: 'failed' }, 'source-unavailable', /background snapshot: no space/, true],
    ['a QEMU that sends it elsewhere', { isDeaf: true }, 'source-unavailable', /did not connect to .*stream/, true],
  ];

  test.each(faults)('%s: says why, and leaves QEMU as it was', async (_name, behaviour, code, message, wasSet) => {
    const qemu = await startQemu(behaviour);
    await expect(saveBackgroundImage({ qmp: qemu.address })).rejects.toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) as string }),
    );
    if (wasSet) expect(settings(qemu)).toEqual(AS_BEFORE);
    else expect(qemu.commands.map(({ execute }) => execute)).not.toContain('migrate');
    if (wasSet) expect(existsSync(qemu.folder())).toBe(false);
  });

  test('an abort waits until QEMU is through: it is neither cancelled nor cut off', async () => {
    let send = () => {};
    const after = new Promise<void>((resolve) => {
      send = resolve;
    });
    const qemu = await startQemu({ after });
    const stop = new AbortController();
    const image = saveBackgroundImage({ qmp: qemu.address, signal: stop.signal });
    await expect.poll(() => qemu.commands.map(({ execute }) => execute)).toContain('migrate');
    stop.abort(new Error('enough'));
    send();
    await expect(image).rejects.toThrow('enough');
    expect(qemu.commands.map(({ execute }) => execute)).not.toContain('migrate_cancel');
    expect(settings(qemu)).toEqual(AS_BEFORE);
    expect(existsSync(qemu.folder())).toBe(false);
  });
});
