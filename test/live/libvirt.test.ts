/** A domain of libvirt, whose QMP socket is libvirt's: ptmon goes through virsh. */
import { execFile, execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import process from 'node:process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findQemu } from '../../src/drivers/qemu/launch/find-qemu.ts';
import { chooseKernel, findPrograms } from '../../src/drivers/qemu/launch/guest-files.ts';
import { buildInitramfs } from '../../src/drivers/qemu/launch/initramfs/initramfs.ts';
import { attach, listVms } from '../../src/guest/index.ts';
import { temporaryFolder } from '../drivers/trace/temporary-folder.ts';
import { startPtmon } from './ptmon-process.ts';

const file = temporaryFolder();
const NAME = `ptmon-test-${process.pid}`;
const run = promisify(execFile);

/** Also with PTMON_LIVE=required: libvirt is no part of what development needs. */
function hasLibvirt(): boolean {
  try {
    execFileSync('virsh', ['list'], { stdio: 'ignore', timeout: 10_000 });
    return true;
  } catch {
    process.stderr.write('LEFT OUT: test/live/libvirt, a domain of libvirt\n  virsh reaches no libvirt\n');
    return false;
  }
}

describe.skipIf(!hasLibvirt())('a domain of libvirt', { timeout: 120_000 }, () => {
  const gdb = file('gdb.sock');
  const running = async () => (await run('virsh', ['domstate', NAME])).stdout.trim();

  beforeAll(async () => {
    const kernel = chooseKernel();
    const [initrd, domain] = [file('initrd'), file('domain.xml')];
    writeFileSync(initrd, buildInitramfs(findPrograms(), kernel.modules));
    writeFileSync(
      domain,
      `<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
        <name>${NAME}</name><memory unit='MiB'>256</memory><vcpu>1</vcpu>
        <memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>
        <os><type arch='x86_64'>hvm</type><kernel>${kernel.path}</kernel><initrd>${initrd}</initrd><cmdline>quiet</cmdline></os>
        <cpu mode='custom'><model>qemu64</model></cpu>
        <devices><emulator>${findQemu()}</emulator></devices><seclabel type='none'/>
        <qemu:commandline><qemu:arg value='-gdb'/><qemu:arg value='unix:${gdb},server=on,wait=off'/></qemu:commandline>
      </domain>`,
    );
    await run('virsh', ['create', domain]);
  }, 60_000);
  afterAll(() => run('virsh', ['destroy', NAME]).catch(() => {}));

  test('is found by its name, and read; it runs on afterwards', async () => {
    expect(listVms().find(({ name }) => name === NAME)).toMatchObject({
      qmp: `virsh:${NAME}`,
      // Where libvirt gives QEMU a mount namespace, by way of that.
      gdb: expect.stringMatching(`^unix:(/proc/\\d+/root)?${gdb}$`) as string,
      sharesMemory: true,
      modes: ['exact', 'sampled'],
    });
    await using guest = await attach(NAME);
    const names = () =>
      guest.processes().then(
        (processes) => processes.map(({ command }) => command),
        () => [],
      );
    await expect.poll(names, { timeout: 60_000, interval: 1000 }).toContain('kthreadd');
    expect(await running()).toBe('running');
  });

  test('is watched exactly by --vm, and runs on afterwards', async () => {
    const watch = startPtmon('watch', '--vm', NAME, '--va', '0xffffffff81000000+4M', '--duration', '2s', '--json');
    expect(await watch.ended, watch.stderr).toBe(0);
    expect(watch.lastLine()).toMatchObject({ kind: 'end', ended: 'stopped', lost: { unknown: false } });
    expect(await running()).toBe('running');
  });

  test('a domain that there is not', async () => {
    const watch = startPtmon('ps', '--qmp', 'virsh:no-such-domain', '--gdb', gdb);
    expect(await watch.ended).toBe(3);
    expect(watch.stderr.replaceAll(/\s+/g, ' ')).toMatch(/virsh:no-such-domain: .*no-such-domain/);
  });
});
