/** QMP as a QEMU answers whose RAM this process, or a file, has. */
import { onTestFinished } from 'vitest';
import { QmpClient } from '../../../../src/drivers/qemu/qmp/index.ts';
import { type Command, refusing, returning, startQmpServer } from '../qmp/qmp-server.ts';

const MIB = 2 ** 20;

/** 1 MiB of RAM at 0 and 1 MiB at 4 GiB, of one block. */
const TREE = [
  'FlatView #0',
  ' AS "memory", root: system',
  ' Root memory region: system',
  '  0000000000000000-00000000000fffff (prio 0, ram): mem',
  '  00000000fee00000-00000000feefffff (prio 4096, i/o): apic-msi',
  '  0000000100000000-00000001000fffff (prio 0, ram): mem @0000000000100000',
  '',
].join('\r\n');

export interface PlayedQemu {
  /** What the guest's memory holds, as QEMU reads it. */
  readonly bytes: Uint8Array;
  /** Of a memory-backend-file. */
  readonly path?: string;
  readonly isShared?: boolean;
  /** What `gpa2hva 0` prints as the address. */
  readonly hostAddress?: number;
  readonly tree?: string;
}

function answerTo(command: Command, fake: PlayedQemu): unknown {
  const { path: of, property, 'command-line': line } = (command.arguments ?? {}) as Record<string, string | undefined>;
  const position = (pa: number) => (pa >= 2 ** 32 ? pa - 2 ** 32 + MIB : pa);
  if (command.execute === 'qom-list' && of === '/objects') {
    const backend = { name: 'mem', type: 'child<memory-backend-file>' };
    return [{ name: 'type', type: 'string' }, ...(fake.path === undefined ? [] : [backend])];
  }
  if (command.execute === 'qom-get' && of === '/objects/mem') {
    return new Map<string | undefined, unknown>([
      ['mem-path', fake.path],
      ['share', fake.isShared ?? true],
      ['size', 2 * MIB],
    ]).get(property);
  }
  if (line === 'info mtree -f') return fake.tree ?? TREE;
  const [, verb, pa] = /^(gpa2hva|xp \/64bx) 0x([\da-f]+)$/.exec(line ?? '') ?? [];
  if (pa === undefined) return undefined;
  const at = position(Number(`0x${pa}`));
  if (verb === 'gpa2hva') {
    if (fake.hostAddress === undefined) return "unknown command: 'gpa2hva'\r\n";
    return `Host virtual address for 0x${pa} (mem) is 0x${(fake.hostAddress + at).toString(16)}\r\n`;
  }
  const lines = Array.from({ length: 8 }, (_, row) => {
    const bytes = [...fake.bytes.subarray(at + row * 8, at + row * 8 + 8)];
    const printed = bytes.map((byte) => `0x${byte.toString(16).padStart(2, '0')}`);
    return `${(at + row * 8).toString(16).padStart(16, '0')}: ${printed.join(' ')}\r\n`;
  });
  return lines.join('');
}

/** To this very process, which plays QEMU. */
export async function connect(fake: PlayedQemu): Promise<QmpClient> {
  const server = await startQmpServer((command, socket) => {
    const value = answerTo(command, fake);
    socket.write(value === undefined ? refusing(command, 'GenericError', 'no such thing') : returning(command, value));
  });
  const qmp = await QmpClient.connect(server.address);
  onTestFinished(() => qmp.close());
  return qmp;
}
