/** Agents' journals, a real broker with TLS and users, and an archive: who may do what, and in what order. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { filesOf, partitionsOf } from '../../../src/fleet/archive/partition.ts';
import { Archiver } from '../../../src/fleet/broker/archiver.ts';
import { connectTo } from '../../../src/fleet/broker/connect.ts';
import { messageOfLine } from '../../../src/fleet/broker/message.ts';
import { Sender } from '../../../src/fleet/broker/sender.ts';
import { segmentLine, segmentName } from '../../../src/fleet/journal/segment.ts';
import type { Broker } from '../../../src/fleet/policy/broker.ts';
import { ask, from } from '../../fleet/archive/duckdb.ts';
import { leftOut } from '../real-guest.ts';
import { missingForBroker } from './missing-for-broker.ts';

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  return port;
}

/** A certificate for localhost, and the authority that has signed it. */
function makeCertificate(folder: string, name: string): void {
  const openssl = (...args: readonly string[]) => execFileSync('openssl', args, { stdio: 'ignore', cwd: folder });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl('req', '-x509', ...key, '-subj', `/CN=${name}`, '-keyout', `${name}-ca.key`, '-out', `${name}-ca.pem`);
  openssl('req', ...key, '-subj', '/CN=localhost', '-keyout', `${name}.key`, '-out', `${name}.csr`);
  writeFileSync(join(folder, 'names'), 'subjectAltName=DNS:localhost');
  const signed = ['-CA', `${name}-ca.pem`, '-CAkey', `${name}-ca.key`, '-CAcreateserial', '-extfile', 'names'];
  openssl('x509', '-req', '-in', `${name}.csr`, ...signed, '-out', `${name}.pem`);
}

describe.skipIf(leftOut('test/live/fleet/broker, a broker with TLS', missingForBroker))(
  'a broker',
  {
    timeout: 120_000,
  },
  () => {
    let folder: string;
    let server: ChildProcess;
    let port: number;

    const agent = (more: Partial<Broker> = {}): Broker => ({
      servers: [`tls://localhost:${port}`],
      stream: 'PTMON',
      streamMiB: 64,
      password: join(folder, 'agent.password'),
      tls: { ca: join(folder, 'own-ca.pem') },
      ...more,
    });
    const keeper = () => agent({ password: join(folder, 'archive.password') });
    const journalOf = (name: string) => {
      const journal = join(folder, name);
      mkdirSync(journal);
      return journal;
    };
    const senderOf = (journal: string, broker = agent()) => new Sender({ journal, broker, spoolBytes: 2 ** 30 });

    function writeSegments(journal: string, { host = 'h', vm = 'vm', session = 's', count = 1, lines = 10 }): void {
      const facts = { host, vm, boot: 'b', session, started: '2026-11-25T00:00:00.000Z' };
      for (let number = 0; number < count; number++) {
        const text = Array.from({ length: lines }, (_, index) => {
          return `${JSON.stringify({ v: 1, kind: 'page-in', seq: number * lines + index, root: '0x1000', tags: [] })}\n`;
        });
        const path = join(journal, `${segmentName(facts, number)}.jsonl`);
        writeFileSync(path, segmentLine(facts, number, number * lines) + text.join(''));
      }
    }

    /** Moves all that the broker has to an archive, whose rows it returns. */
    async function archived(name: string): Promise<readonly Record<string, unknown>[]> {
      const archive = join(folder, name);
      const archiver = new Archiver({ archive, broker: keeper(), everyMs: 1000 });
      await archiver.round(new AbortController().signal);
      await archiver.close();
      const files = partitionsOf(archive).flatMap(filesOf);
      if (files.length === 0) return [];
      return ask(`SELECT host, vm, count(*)::INTEGER AS n FROM ${from(files)} GROUP BY host, vm ORDER BY host, vm`);
    }

    /** Resolves when it takes connections. */
    async function startServer(): Promise<void> {
      server = spawn('nats-server', ['-c', join(folder, 'nats.conf')], { stdio: 'ignore' });
      for (;;) {
        const isThere = await connectTo(keeper()).then(
          (connection) => connection.close().then(() => true),
          () => false,
        );
        if (isThere) break;
        expect(server.exitCode).toBeNull();
        await sleep(100);
      }
    }

    beforeAll(async () => {
      folder = mkdtempSync(join(tmpdir(), 'ptmon-broker-'));
      makeCertificate(folder, 'own');
      makeCertificate(folder, 'other');
      port = await freePort();
      writeFileSync(join(folder, 'agent.password'), 'node-17:secret\n');
      writeFileSync(join(folder, 'wrong.password'), 'node-17:guessed\n');
      writeFileSync(join(folder, 'archive.password'), 'archive:other-secret\n');
      // As docs/fleet.md has it.
      const users = /authorization \{[\s\S]*?\n\] \}/.exec(readFileSync('docs/fleet.md', 'utf8'))![0];
      const config = `listen: 127.0.0.1:${port}
tls { cert_file: ${folder}/own.pem, key_file: ${folder}/own.key }
jetstream { store_dir: ${folder}/store }
${users.replace('$NODE_17', 'secret').replace('$ARCHIVE', '"other-secret"')}`;
      writeFileSync(join(folder, 'nats.conf'), config);
      await startServer();
    }, 60_000);
    afterAll(() => {
      server.kill('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    });

    test('a broker without TLS gets no secret where an address asks for TLS', async () => {
      const plainPort = await freePort();
      const plain = spawn('nats-server', ['-a', '127.0.0.1', '-p', String(plainPort)], { stdio: 'ignore' });
      onTestFinished(() => void plain.kill('SIGKILL'));
      // Without JetStream: that comes once the client is connected.
      const attempt = (scheme: string) =>
        connectTo({ ...keeper(), servers: [`${scheme}localhost:${plainPort}`], tls: undefined });
      await expect.poll(() => attempt('nats://').catch(String), { timeout: 20_000 }).toMatch(/stream PTMON/);
      for (const scheme of ['tls://', 'TLS://'])
        await expect(attempt(scheme)).rejects.toThrow(/server does not support/);
    });

    test('a stream that the broker has no room for is refused, and the reason names the key of the policy', async () => {
      await expect(connectTo({ ...keeper(), stream: 'LARGE', streamMiB: 2 ** 30 })).rejects.toThrow(
        /stream LARGE: the broker has no room for a stream of 1073741824 MiB: set a smaller streamMiB/,
      );
    });

    test('takes what a host may send, once although it is sent again, and the journal is empty then', async () => {
      const journal = journalOf('journal-right');
      for (let times = 0; times < 2; times++) {
        writeSegments(journal, { host: 'node-17', count: 3 });
        const sender = senderOf(journal);
        expect(await sender.send()).toBe(30);
        await sender.close();
        expect(readdirSync(journal)).toEqual([]);
      }
      expect(await archived('archive-right')).toEqual([{ host: 'node-17', vm: 'vm', n: 30 }]);
      // The broker has forgotten a message that was archived, not its id: another name has it taken anew, and the archive knows it.
      const again = journalOf('journal-again');
      writeSegments(again, { host: 'node-17', count: 3 });
      const connection = await connectTo(agent());
      await connection.client.publish(
        'ptmon.node-17.vm.page-in',
        JSON.stringify({ v: 1, kind: 'page-in', seq: 3, root: '0x1000', tags: [] }),
        {
          headers: connection.headers({
            'Ptmon-Place': JSON.stringify({
              host: 'node-17',
              vm: 'vm',
              boot: 'b',
              session: 's',
              segment: 0,
              line: 4,
              position: 3,
              after: 1_795_564_800_000_000,
            }),
          }),
        },
      );
      await connection.close();
      expect(await archived('archive-right')).toEqual([{ host: 'node-17', vm: 'vm', n: 30 }]);
    });

    test.each([
      ['a wrong password', () => agent({ password: join(folder, 'wrong.password') }), /[Aa]uthorization/],
      [
        'a token instead of a user',
        () => ({ ...agent({ token: join(folder, 'wrong.password') }), password: undefined }),
        /[Aa]uthorization/,
      ],
      [
        'the certificate of another authority',
        () => agent({ tls: { ca: join(folder, 'other-ca.pem') } }),
        /certificate/,
      ],
      ['a connection without a certificate to trust', () => agent({ tls: {} }), /certificate/],
    ])('%s: nothing is sent, and the journal keeps all', async (name, broker, message) => {
      const journal = journalOf(`journal ${name}`);
      writeSegments(journal, { host: 'node-17' });
      await expect(senderOf(journal, broker()).send()).rejects.toThrow(message);
      expect(readdirSync(journal)).toHaveLength(1);
    });

    test('refuses the subject of another host, and the journal keeps it', async () => {
      const journal = journalOf('journal-other');
      writeSegments(journal, { host: 'node-18' });
      const sender = senderOf(journal);
      await expect(sender.send()).rejects.toThrow(/[Pp]ermission.*ptmon\.node-18\.vm\.page-in/s);
      await sender.close();
      expect(readdirSync(journal, { recursive: true }).filter((name) => String(name).endsWith('.jsonl'))).toHaveLength(
        1,
      );
      expect(await archived('archive-other')).toEqual([]);
    });

    test('an archiver refuses what names another host than its subject', async () => {
      const connection = await connectTo(agent());
      const place = {
        host: '../../evil',
        vm: 'vm',
        boot: 'b',
        session: 's',
        segment: 0,
        line: 1,
        position: 0,
        after: 0,
      };
      const fields = { v: 1, kind: 'page-in', seq: 0, tags: [] };
      const { headers, text } = messageOfLine({ place, fields, text: JSON.stringify(fields) }, 2 ** 20);
      await connection.client.publish('ptmon.node-17.vm.page-in', text, { headers: connection.headers(headers) });
      await connection.close();
      expect(await archived('archive-evil')).toEqual([]);
      const archiver = new Archiver({ archive: join(folder, 'archive-evil'), broker: keeper(), everyMs: 1000 });
      // It is gone: nobody waits for it.
      expect(await archiver.round(new AbortController().signal)).toEqual({ rows: 0, refused: 0 });
      await archiver.close();
    });

    test('of archivers that collect for different times, the longest decides how long the broker waits', async () => {
      const waits: unknown[] = [];
      for (const everyMs of [600_000, 1000]) {
        const archiver = new Archiver({ archive: join(folder, 'waits'), broker: keeper(), everyMs });
        // An archiver that is told to end while it connects does not collect.
        await archiver.round(AbortSignal.abort());
        await archiver.close();
        const { manager, close } = await connectTo(keeper());
        waits.push((await manager.consumers.info('PTMON', 'ptmon-archive')).config.ack_wait);
        await close();
      }
      expect(waits).toEqual([620e9, 620e9]);
    });

    test('a VM that floods does not keep the others waiting', async () => {
      const journal = journalOf('journal-flood');
      writeSegments(journal, { host: 'node-17', vm: 'a-flood', session: 'f', count: 30, lines: 40 });
      writeSegments(journal, { host: 'node-17', vm: 'z-quiet', session: 'q', count: 3, lines: 5 });
      const connection = await connectTo(agent());
      const before = (await connection.manager.streams.info('PTMON')).state.last_seq;
      const sender = senderOf(journal);
      await sender.send();
      await sender.close();
      await connection.close();
      const archive = await connectTo(keeper());
      const last = await archive.manager.streams.getMessage('PTMON', { last_by_subj: 'ptmon.node-17.z-quiet.page-in' });
      await archive.close();
      // Three turns: of 40 lines of the one, and 5 of the other.
      expect(last!.seq - before).toBeLessThanOrEqual(3 * 45);
      expect(await archived('archive-flood')).toEqual([
        { host: 'node-17', vm: 'a-flood', n: 1200 },
        { host: 'node-17', vm: 'z-quiet', n: 15 },
      ]);
    });

    test('a broker that comes back without its store: agents and archivers go on', async () => {
      const journal = journalOf('journal-wiped');
      const sender = senderOf(journal);
      const archive = join(folder, 'archive-wiped');
      const archiver = new Archiver({ archive, broker: keeper(), everyMs: 1000 });
      const round = () => archiver.round(new AbortController().signal);
      const untilDone = async <T>(work: () => Promise<T>): Promise<T> => {
        for (;;) {
          const done = await work().catch(() => undefined);
          if (done !== undefined) return done;
          await sleep(200);
        }
      };
      writeSegments(journal, { host: 'node-17', session: 'before' });
      await sender.send();
      expect(await round()).toEqual({ rows: 10, refused: 0 });

      const ended = once(server, 'exit');
      server.kill('SIGKILL');
      await ended;
      rmSync(join(folder, 'store'), { recursive: true });
      await startServer();
      writeSegments(journal, { host: 'node-17', session: 'after' });
      expect(await untilDone(() => sender.send())).toBe(10);
      expect((await untilDone(round)).rows).toBe(10);
      await sender.close();
      await archiver.close();
      expect(await archived('archive-wiped')).toEqual([{ host: 'node-17', vm: 'vm', n: 20 }]);
    });
  },
);
