import { describe, expect, onTestFinished, test } from 'vitest';
import type { PtmonError } from '../../../../src/core/error.ts';
import { QmpClient, type QmpEvent, type QmpOptions, qmpRefusalOf } from '../../../../src/drivers/qemu/qmp/index.ts';
import { startPeer } from '../transport/peer.ts';
import { type Command, GREETING, refusing, returning, startQmpServer } from './qmp-server.ts';

/** Shorter than a test may take, longer than a busy machine needs to do nothing. */
const SHORT_MS = 60;

async function connect(address: string, options?: QmpOptions): Promise<QmpClient> {
  const client = await QmpClient.connect(address, options);
  onTestFinished(() => client.close());
  return client;
}

function event(name: string): string {
  return `{"timestamp": {"seconds": 1, "microseconds": 0}, "event": "${name}"}\r\n`;
}

describe.each(['unix', 'tcp'] as const)('over %s', (kind) => {
  test('it greets, negotiates, and runs commands', async () => {
    const server = await startQmpServer((command, socket) => socket.write(returning(command, { running: true })), {
      kind,
    });
    const client = await connect(server.address);
    expect(client.address).toBe(`${kind}:${server.address}`);
    expect(client.greeting).toEqual({ version: [7, 2, 22], package: '', capabilities: ['oob'] });
    expect(await client.execute('query-status')).toEqual({ running: true });
    expect(server.commands).toEqual([
      { execute: 'qmp_capabilities', id: 2 },
      { execute: 'query-status', id: 3 },
    ]);
  });
});

describe('replies find their commands', () => {
  test('out of order', async () => {
    const held: Command[] = [];
    const server = await startQmpServer((command, socket) => {
      held.push(command);
      if (held.length === 3) for (const each of held.reverse()) socket.write(returning(each, each.execute));
    });
    const client = await connect(server.address);
    const names = ['one', 'two', 'three'];
    expect(await Promise.all(names.map((name) => client.execute(name)))).toEqual(names);
  });

  test('cut into bytes, with events between', async () => {
    const server = await startQmpServer((command, socket) => {
      const text = event('STOP') + returning(command, 'é') + event('RESUME');
      for (const byte of Buffer.from(text)) socket.write(Uint8Array.of(byte));
    });
    const client = await connect(server.address);
    const names: string[] = [];
    client.subscribe(({ name }) => names.push(name));
    expect(await client.execute('x')).toBe('é');
    await expect.poll(() => names).toEqual(['STOP', 'RESUME']);
  });

  test('one that is late finds nobody; the next command gets its own', async () => {
    let late: Command | undefined;
    const server = await startQmpServer((command, socket) => {
      if (late === undefined) late = command;
      else socket.write(returning(late, 'late') + returning(command, 'mine'));
    });
    const client = await connect(server.address);
    await expect(client.execute('slow', undefined, { timeoutMs: SHORT_MS })).rejects.toMatchObject({
      code: 'source-unavailable',
      message: `unix:${server.address}: QEMU did not send the reply to slow within ${SHORT_MS} ms`,
    });
    expect(await client.execute('quick')).toBe('mine');
  });

  test('one that is not there within a second is told of, once, and comes all the same', async () => {
    const silent: string[] = [];
    const server = await startQmpServer((command, socket) => {
      const delayMs = command.execute === 'slow' ? 1200 : 0;
      setTimeout(() => socket.write(returning(command, command.execute)), delayMs);
    });
    const client = await connect(server.address, { onSilent: (command) => silent.push(command) });
    expect(await client.execute('quick')).toBe('quick');
    expect(await client.execute('slow')).toBe('slow');
    expect(silent).toEqual(['slow']);
  });

  test('messages of the future and a second greeting are passed over', async () => {
    const server = await startQmpServer((command, socket) =>
      socket.write(`{"news": 1}\n${GREETING}${returning({ ...command, id: 99 }, 'whose?')}${returning(command, 1)}`),
    );
    const client = await connect(server.address);
    expect(await client.execute('x')).toBe(1);
  });
});

describe('refusals say class and description', () => {
  test('of a command', async () => {
    const server = await startQmpServer((command, socket) =>
      socket.write(refusing(command, 'CommandNotFound', 'The command blah has not been found')),
    );
    const client = await connect(server.address);
    const error: unknown = await client.execute('blah').catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      code: 'source-unavailable',
      message: `unix:${server.address}: QEMU refused blah: The command blah has not been found (CommandNotFound)`,
    });
    expect(qmpRefusalOf(error)).toEqual({ class: 'CommandNotFound', desc: 'The command blah has not been found' });
  });

  test('of a command that QEMU could not read: without an id, it is for all', async () => {
    const server = await startQmpServer((_, socket) =>
      socket.write('{"error": {"class": "GenericError", "desc": "Invalid JSON syntax"}}\r\n'),
    );
    const client = await connect(server.address);
    await expect(client.execute('x')).rejects.toThrow(/Invalid JSON syntax/);
  });

  test('other errors are no refusals', async () => {
    const server = await startQmpServer();
    const client = await connect(server.address);
    const error: unknown = await client.execute('x', {}, { timeoutMs: SHORT_MS }).catch((reason: unknown) => reason);
    expect([qmpRefusalOf(error), qmpRefusalOf(new Error('x')), qmpRefusalOf(undefined)]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });
});

describe('the human monitor', () => {
  test('is asked by its command, and prints', async () => {
    const server = await startQmpServer((command, socket) => socket.write(returning(command, 'gpa: 0x1000\r\n')));
    const client = await connect(server.address);
    expect(await client.humanMonitor('gva2gpa 0', { vcpu: 1 })).toBe('gpa: 0x1000\r\n');
    expect(await client.humanMonitor('info tlb')).toBe('gpa: 0x1000\r\n');
    expect(server.commands.slice(1).map((command) => command.arguments)).toEqual([
      { 'command-line': 'gva2gpa 0', 'cpu-index': 1 },
      { 'command-line': 'info tlb' },
    ]);
  });

  test('that returns no text is corrupt', async () => {
    const server = await startQmpServer((command, socket) => socket.write(returning(command, {})));
    const client = await connect(server.address);
    await expect(client.humanMonitor('info')).rejects.toMatchObject({ code: 'corrupt-input' });
  });
});

describe('events', () => {
  test('reach every subscriber in order, until it ends its subscription', async () => {
    const server = await startQmpServer((command, socket) => socket.write(event('A') + returning(command, 1)));
    const heard: string[] = [];
    const listener = ({ name }: QmpEvent) => heard.push(name);
    const client = await connect(server.address);
    const end = client.subscribe(listener);
    client.subscribe(listener);
    await client.execute('x');
    end();
    end();
    await client.execute('x');
    expect(heard).toEqual(['A', 'A', 'A']);
  });

  test('that come with the first reply are not lost', async () => {
    const names: string[] = [];
    const server = await startQmpServer(undefined, { greeting: GREETING + event('EARLY') });
    await connect(server.address, { onEvent: ({ name }) => names.push(name) });
    expect(names).toEqual(['EARLY']);
  });
});

describe('a peer that is no QMP server, or serves another, is said so', () => {
  test('a second client: QEMU accepts it, and says nothing', async () => {
    const peer = await startPeer(() => {});
    await expect(QmpClient.connect(peer.address, { timeoutMs: SHORT_MS })).rejects.toMatchObject({
      code: 'source-unavailable',
      message:
        `unix:${peer.address}: connected, but no QMP greeting came within ${SHORT_MS} ms; QEMU serves one QMP client at a ` +
        'time, and another seems to be connected: close that one, or give QEMU a second -qmp socket',
    });
    await expect.poll(() => peer.sockets[0]?.destroyed).toBe(true);
  });

  test.each([
    [
      'the human monitor',
      "QEMU 7.2.22 monitor - type 'help' for more information\r\n",
      /a line that is not JSON, "QEMU 7/,
    ],
    ['a web server', 'HTTP/1.1 400 Bad Request\r\n\r\n', /a line that is not JSON, "HTTP/],
    ['a list', '[1]\n', /not a JSON object/],
    ['bytes', '\xff\xfe\0\n', /a line that is not JSON, "·····"/],
    ['a reply before its greeting', '{"return": {}, "id": 1}\n', /a reply before its greeting/],
  ])('%s', async (_, text, message) => {
    const peer = await startPeer((socket) => socket.write(text));
    await expect(QmpClient.connect(peer.address)).rejects.toMatchObject({
      code: 'corrupt-input',
      message: expect.stringMatching(message) as string,
    });
  });

  test.each([
    ['at once', ['$T02thread:p01.01;#04']],
    ['in pieces', ['+$', 'T', '02thread:01;#04']],
  ])('a gdbstub that has stopped its guest for us, %s: it is told to detach', async (_, pieces) => {
    let heard = '';
    const peer = await startPeer((socket) => {
      socket.on('data', (chunk: Buffer) => (heard += chunk.toString('latin1')));
      for (const [at, piece] of pieces.entries()) setTimeout(() => socket.write(piece), at * 10);
    });
    await expect(QmpClient.connect(peer.address)).rejects.toMatchObject({
      code: 'bad-argument',
      message: expect.stringMatching(/is a gdbstub, not a QMP socket: .*swapped/),
    });
    await expect.poll(() => heard).toBe('\x03+\x03$D;1#b0');
  });

  test.each([
    ['10.0.2 (Debian 1:10.0.2)', /pause it again/, true],
    ['8.1.0', /pause it again/, true],
    ['8.0.4', /The guest was paused before, and still is/, false],
    ['7.2.22 (Debian 1:7.2)', /The guest was paused before, and still is/, false],
  ])('a gdbstub of QEMU %s that says nothing is asked for its version', async (version, message, mustRun) => {
    let heard = '';
    const peer = await startPeer((socket) => {
      socket.on('data', (chunk: Buffer) => {
        if (heard === '') socket.write(`+$O${Buffer.from(`${version}\r\n`).toString('hex')}#00`);
        heard += chunk.toString('latin1');
      });
    });
    await expect(QmpClient.connect(peer.address, { timeoutMs: 500 })).rejects.toMatchObject({
      code: 'bad-argument',
      message: expect.stringMatching(message),
    });
    await expect.poll(() => heard.includes('$D;1#b0')).toBe(mustRun);
  });

  test('a peer that greets late, and could not read the question for a gdbstub', async () => {
    const peer = await startPeer((socket) => {
      socket.on('data', (chunk: Buffer) => {
        if (chunk.includes('qRcmd'))
          socket.write(`${GREETING}{"error": {"class": "GenericError", "desc": "JSON parse error"}}\n`);
        const id = /"id":\s*(\d+)/.exec(chunk.toString())?.[1];
        if (id !== undefined) socket.write(`{"return": {}, "id": ${id}}\n`);
      });
    });
    const qmp = await QmpClient.connect(peer.address, { timeoutMs: 1000 });
    await qmp.close();
  });

  test('a peer that greets but never negotiates', async () => {
    const peer = await startPeer((socket) => socket.write(GREETING));
    await expect(QmpClient.connect(peer.address, { timeoutMs: SHORT_MS })).rejects.toThrow(
      /did not send the reply to qmp_capabilities within 60 ms/,
    );
  });

  test.each([
    ['before it greets', '', / \(while waiting for the greeting\)/],
    [
      'in the middle of its greeting',
      GREETING.slice(0, 20),
      /, in the middle of a message \("\{"QMP": \{"version":"\) \(/,
    ],
    ['after its greeting', GREETING, /\(while waiting for the reply to qmp_capabilities\)/],
  ])('a peer that closes %s', async (_, text, message) => {
    const peer = await startPeer((socket) => socket.end(text));
    await expect(QmpClient.connect(peer.address)).rejects.toMatchObject({
      code: 'source-unavailable',
      message: expect.stringMatching(message) as string,
    });
  });
});

describe('a peer that goes away fails all that waits, and all that comes', () => {
  const LOST: readonly (readonly [how: string, last: string, code: string, message: RegExp])[] = [
    ['closes', '', 'source-unavailable', /closed the connection \(while waiting for the reply to x\)/],
    [
      'closes in the middle of a reply',
      '{"return": {"a',
      'source-unavailable',
      /in the middle of a message \("\{"return": \{"a"\)/,
    ],
    ['sends half a line', '{"return": {"a\n', 'corrupt-input', /does not speak QMP: it sent a line that is not JSON/],
    ['sends a line without bound', 'x'.repeat(5000), 'corrupt-input', /a line of more than 4096 bytes/],
  ];

  test.each(LOST)('one that %s', async (_, last, code, message) => {
    const server = await startQmpServer((command, socket) => {
      if (command.execute === 'y') socket.end(last);
    });
    const losses: PtmonError[] = [];
    const client = await connect(server.address, { maxLineByteLength: 4096, onLost: (error) => losses.push(error) });
    const waiting = [client.execute('x'), client.execute('y')];
    const expected = { code, message: expect.stringMatching(message) as string };
    await expect(waiting[0]).rejects.toMatchObject(expected);
    await expect(waiting[1]).rejects.toMatchObject({ code });
    await expect(client.execute('z')).rejects.toMatchObject({ code });
    expect(losses).toEqual([expect.objectContaining({ code })]);
  });
});

describe('waiting ends', () => {
  test('with an abort, before or after the command was sent', async () => {
    const server = await startQmpServer();
    const client = await connect(server.address);
    const controller = new AbortController();
    const waiting = client.execute('x', undefined, { signal: controller.signal });
    controller.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    await expect(client.execute('x', undefined, { signal: controller.signal })).rejects.toThrow('enough');
  });

  test('with an abort while connecting', async () => {
    const peer = await startPeer(() => {});
    const controller = new AbortController();
    const connecting = QmpClient.connect(peer.address, { signal: controller.signal });
    await expect.poll(() => peer.sockets.length).toBe(1);
    controller.abort(new Error('enough'));
    await expect(connecting).rejects.toThrow('enough');
    await expect.poll(() => peer.sockets[0]?.destroyed).toBe(true);
  });

  test('with close, which may be called again and is no loss', async () => {
    const server = await startQmpServer();
    const losses: unknown[] = [];
    const client = await connect(server.address, { onLost: (error) => losses.push(error) });
    const waiting = client.execute('x');
    await Promise.all([client.close(), client.close()]);
    await expect(waiting).rejects.toMatchObject({ code: 'closed' });
    await expect(client.execute('y')).rejects.toMatchObject({ code: 'closed' });
    server.hangUp();
    expect(losses).toEqual([]);
  });

  test('with close after a loss', async () => {
    const server = await startQmpServer((_, socket) => socket.end());
    const client = await connect(server.address);
    await expect(client.execute('x')).rejects.toMatchObject({ code: 'source-unavailable' });
    await client.close();
    await expect(client.execute('y')).rejects.toMatchObject({ code: 'closed' });
  });
});
