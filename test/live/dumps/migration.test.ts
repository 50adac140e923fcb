/**
 * A guest of each paging mode, saved by QEMU in every way that it has: ELF, kdump, its RAM file, a snapshot in a qcow2 image
 * (savevm), a migration stream, and that stream as `virsh save` wraps it. All of them map the same, and translate as QEMU's own gva2gpa.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { makePaging, type PagingOptions } from '../../../src/core/paging/format.ts';
import { QmpClient, type QmpObject } from '../../../src/drivers/qemu/qmp/index.ts';
import { run } from '../../cli/run.ts';
import { libvirtSave } from '../../drivers/dump/write-containers.ts';
import { temporaryFolder } from '../../drivers/qemu/transport/peer.ts';
import { hasQemu } from '../firmware-guest.ts';
import { hasAssembler, ProbedGuest } from '../probe/probed-guest.ts';

const WHAT = 'test/live/dumps/migration, a guest that QEMU saves in every way';
const isHere = hasQemu(WHAT) && hasAssembler(WHAT);

const TABLES = 0x10_0000;
const PAE = 0x20;
const MACHINES: readonly { readonly options: PagingOptions; readonly cr4: number; readonly efer: number }[] = [
  { options: { mode: '32-bit' }, cr4: 0x10, efer: 0 },
  { options: { mode: 'pae' }, cr4: PAE, efer: 0x800 },
  { options: { mode: '4-level' }, cr4: PAE, efer: 0x900 },
  { options: { mode: '5-level' }, cr4: PAE | 0x1000, efer: 0x900 },
];

describe.skipIf(!isHere)('files of QEMU', { timeout: 120_000 }, () => {
  test.each(MACHINES)('of a guest with $options paging map the same, and translate as it does', async (machine) => {
    const paging = makePaging(machine.options);
    const probed = await start(paging, machine.cr4, machine.efer);
    const folder = temporaryFolder();
    const path = (name: string) => join(folder, name);
    // Paging is on, and the accessed bits are set, once the guest has read something.
    await probed.probe(0x5000n);
    const theirs = new Map<number, number>();
    const qmp = await QmpClient.connect(probed.guest.qmp, { timeoutMs: 60_000 });
    try {
      await qmp.execute('stop');
      await qmp.execute('dump-guest-memory', { paging: false, protocol: `file:${path('elf')}` });
      await qmp.execute('dump-guest-memory', {
        paging: false,
        protocol: `file:${path('kdump')}`,
        format: 'kdump-zlib',
      });
      for (let va = 0; va < 0x18_0000; va += 0x1_3000) {
        const answer = (await qmp.humanMonitor(`gva2gpa ${va}`)).trim();
        if (answer.startsWith('gpa: ')) theirs.set(va, Number(answer.slice(5)));
      }
      await saveSnapshot(qmp, path('qcow2'));
      await qmp.execute('migrate', { uri: `exec:cat >${path('stream')}` });
      for (;;) {
        const { status } = (await qmp.execute('query-migrate')) as { readonly status?: string };
        if (status === 'completed') break;
        if (status === 'failed') throw new Error('QEMU cannot migrate');
        await sleep(20);
      }
    } finally {
      await qmp.close();
    }
    writeFileSync(path('virsh-save'), libvirtSave(readFileSync(path('stream'))));
    const expected = (await run(['map', path('elf'), '--csv', '--runs'])).stdout;
    expect(expected.split('\n').length).toBeGreaterThan(3);
    expect(theirs.size).toBeGreaterThan(10);
    for (const name of ['elf', 'kdump', 'stream', 'virsh-save', 'qcow2', 'raw']) {
      const file = name === 'raw' ? probed.ram : path(name);
      const space = name === 'raw' ? ['--root', `0x${TABLES.toString(16)}`, '--paging', machine.options.mode] : [];
      const { code, stdout, stderr } = await run(['map', file, '--csv', '--runs', ...space]);
      expect({ name, code, stdout }, stderr).toEqual({ name, code: 0, stdout: expected });
      expect((await run(['diff', path('elf'), file, ...space])).stdout, name).toMatch(/^no difference/);
      for (const [va, pa] of theirs) {
        const words = ['translate', file, `0x${va.toString(16)}`, '--json', ...space];
        expect(JSON.parse((await run(words)).stdout), `${name} ${va}`).toMatchObject({ pa: `0x${pa.toString(16)}` });
      }
    }
    // Registers say the mode, where they are.
    expect((await run(['map', path('stream'), '--json'])).stdout).toContain(`"mode":"${machine.options.mode}"`);
    // And a search through raw memory finds the root, which maps memory where it is.
    const roots = await run(['roots', probed.ram]);
    expect(roots.stdout).toMatch(new RegExp(`0x${TABLES.toString(16)} +${machine.options.mode} +likely +identity`));
  });
});

/** As `savevm` of the monitor does, to a new image. */
async function saveSnapshot(qmp: QmpClient, filename: string): Promise<void> {
  const job = async (command: string, args: QmpObject) => {
    const id = `job-${command}`;
    await qmp.execute(command, { 'job-id': id, ...args });
    for (;;) {
      const jobs = (await qmp.execute('query-jobs')) as {
        readonly id: string;
        readonly status: string;
        readonly error?: string;
      }[];
      const found = jobs.find((each) => each.id === id);
      if (found?.error !== undefined) throw new Error(`${command}: ${found.error}`);
      if (found?.status === 'concluded') break;
      await sleep(20);
    }
    await qmp.execute('job-dismiss', { id });
  };
  await job('blockdev-create', { options: { driver: 'file', filename, size: 0 } });
  await qmp.execute('blockdev-add', { driver: 'file', 'node-name': 'file', filename });
  await job('blockdev-create', { options: { driver: 'qcow2', file: 'file', size: 2 ** 30 } });
  await qmp.execute('blockdev-add', { driver: 'qcow2', 'node-name': 'disk', file: 'file' });
  await job('snapshot-save', { tag: 'paused', vmstate: 'disk', devices: ['disk'] });
}

/** A guest whose first 2 MiB are mapped where they are, in small pages of which some are read-only and some are missing. */
function start(paging: ReturnType<typeof makePaging>, cr4: number, efer: number): Promise<ProbedGuest> {
  const { entryBytes, canonical } = paging.mode;
  const depth = paging.levels.length;
  return ProbedGuest.start({ cr3: TABLES, cr4, efer, is64: canonical }, (guest) => {
    for (const [index, format] of paging.levels.entries()) {
      const table = TABLES + index * 0x1000;
      if (index < depth - 1)
        guest.putEntry(table, BigInt(table + 0x1000) | (format.rightsMask === 0 ? 1n : 3n), entryBytes);
      else {
        for (let page = 0; page < 512; page++) {
          const flags = page % 50 === 49 ? 0n : page % 7 === 6 && page > 300 ? 1n : 3n;
          guest.putEntry(table + page * entryBytes, BigInt(page * 0x1000) | flags, entryBytes);
        }
      }
    }
  });
}
