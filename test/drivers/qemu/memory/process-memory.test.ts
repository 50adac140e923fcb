/** QEMU's own memory: which process it is, where the guest's RAM is in it, and reading it. Processes are real, but no QEMU. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { describe, expect, onTestFinished, test } from 'vitest';
import { areMapped, parseHostAddress } from '../../../../src/drivers/qemu/memory/host-addresses.ts';
import { findListeningProcesses } from '../../../../src/drivers/qemu/memory/listening-process.ts';
import { openProcessMemory, ProcessMemory } from '../../../../src/drivers/qemu/memory/process-memory.ts';
import { startPeer, temporaryFolder } from '../transport/peer.ts';
import { ownMemory } from './own-memory.ts';

const unavailable = (message: RegExp): unknown =>
  expect.objectContaining({ code: 'source-unavailable', message: expect.stringMatching(message) as string });

/** A child that listens where it is told, with its folder as working directory; it prints a line when it does. */
async function startListener(where: string, cwd: string): Promise<{ pid: number; kill: () => Promise<void> }> {
  const program = `require('node:net').createServer().listen(${JSON.stringify(where)}, () => console.log('listens'))`;
  const child = spawn(process.execPath, ['--eval', program], { cwd, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  const kill = async () => {
    child.kill('SIGKILL');
    await ended;
  };
  onTestFinished(kill);
  await once(child.stdout, 'data');
  return { pid: child.pid!, kill };
}

describe.runIf(process.platform === 'linux')('the process that listens', () => {
  test.each(['unix', 'tcp'] as const)('on a %s socket is found', async (kind) => {
    const { address } = await startPeer(() => {}, kind);
    expect(await findListeningProcesses(address)).toEqual([process.pid]);
    if (kind === 'tcp') {
      const port = address.split(':')[1]!;
      expect(await findListeningProcesses(`localhost:${port}`)).toEqual([process.pid]);
      const own = Object.values(networkInterfaces()).flat()[0]!;
      expect(await findListeningProcesses(`[${own.address}]:${port}`)).toEqual([process.pid]);
    }
  });

  test('is found where it gave a path that is not absolute, or a link leads there', async () => {
    const [folder, elsewhere] = [temporaryFolder(), temporaryFolder()];
    const meant = await startListener('qmp.sock', folder);
    // Somebody else's socket of the same name.
    await startListener('qmp.sock', elsewhere);
    expect(await findListeningProcesses(join(folder, 'qmp.sock'))).toEqual([meant.pid]);
    const link = join(elsewhere, 'link');
    symlinkSync(folder, link);
    expect(await findListeningProcesses(`unix:${link}/qmp.sock`)).toEqual([meant.pid]);
    const absolute = await startListener(join(folder, 'other.sock'), '/');
    expect(await findListeningProcesses(join(link, 'other.sock'))).toEqual([absolute.pid]);
  });

  test.each([
    ['unix:/nowhere/qmp.sock', /no process that can be seen from here listens on unix:\/nowhere\/qmp.sock/],
    ['127.0.0.1:1', /no process .* listens on tcp:127.0.0.1:1/],
    ['192.0.2.1:4444', /192.0.2.1 of tcp:192.0.2.1:4444 is not this host/],
    ['no-such-host.invalid:4444', /is not this host/],
  ])('is not found at %s', async (address, message) => {
    await expect(findListeningProcesses(address)).rejects.toThrow(unavailable(message));
  });

  test('is not found, whatever listens at a path that is not absolute', async () => {
    const [folder, elsewhere] = [temporaryFolder(), temporaryFolder()];
    await startListener('qmp.sock', elsewhere);
    await expect(findListeningProcesses(join(folder, 'qmp.sock'))).rejects.toThrow(unavailable(/no process that can/));
  });

  test("of a domain of libvirt is known to the user's session, or to the system", async () => {
    const folder = temporaryFolder();
    const before = process.env['XDG_RUNTIME_DIR'];
    process.env['XDG_RUNTIME_DIR'] = folder;
    onTestFinished(() => {
      if (before === undefined) delete process.env['XDG_RUNTIME_DIR'];
      else process.env['XDG_RUNTIME_DIR'] = before;
    });
    const [domain, path] = ['ptmon-test-domain', join(folder, 'libvirt/qemu/run')];
    await expect(findListeningProcesses(`virsh:${domain}`)).rejects.toThrow(
      unavailable(/its process is unknown: \/run\/libvirt\/qemu\/ptmon-test-domain\.pid and .*cannot be read/),
    );
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, `${domain}.pid`), '4711');
    expect(await findListeningProcesses(`virsh:${domain}`)).toEqual([4711]);
    writeFileSync(join(path, `${domain}.pid`), '');
    await expect(findListeningProcesses(`virsh:${domain}`)).rejects.toThrow(unavailable(/its process is unknown/));
  });

  test('that only connects is not the one', async () => {
    const folder = temporaryFolder();
    const path = join(folder, 'gone.sock');
    const listener = await startListener(path, folder);
    await listener.kill();
    await expect(findListeningProcesses(path)).rejects.toThrow(unavailable(/no process/));
  });

  test.runIf(process.getuid?.() === 0 && process.seteuid !== undefined)(
    'of another user is said to be that',
    async () => {
      const folder = temporaryFolder();
      await startListener(join(folder, 'root.sock'), folder);
      const regions = [{ pa: 0, byteLength: 4096, position: 0 }];
      chmodSync(folder, 0o755);
      process.seteuid!(65_534);
      try {
        await expect(openProcessMemory([join(folder, 'root.sock')], regions)).rejects.toThrow(
          unavailable(/root.sock is another user's; run as that user or as root/),
        );
        expect(() => new ProcessMemory(1, 0)).toThrow(unavailable(/process 1 may not be read \(E\w+\); .*run as root/));
      } finally {
        process.seteuid!(0);
      }
    },
  );
});

describe('where QEMU has the RAM', () => {
  test.each<[printed: string, parsed: ReturnType<typeof parseHostAddress>]>([
    ['Host virtual address for 0x0 (pc.ram) is 0x7fb27fe00000\r\n', { block: 'pc.ram', position: 0x7fb27fe00000 }],
    ['Host virtual address for 0x100000000 (my mem (2)) is 0x7000\n', { block: 'my mem (2)', position: 0x7000 }],
    ['Memory at address 0xfee00000 is not RAM\r\n', 'not RAM'],
    ['Memory at address 0xfee00000is not RAM\r\n', 'not RAM'],
    ['No memory is mapped at address 0x200000000\r\n', 'not RAM'],
    ["unknown command: 'gpa2hva'\r\n", undefined],
    ['', undefined],
  ])('%j', (printed, parsed) => {
    expect(parseHostAddress(printed)).toEqual(parsed);
  });

  test('is mapped where the mappings cover it, side by side', () => {
    const maps = [
      '1000-3000 rw-p 00000000 00:00 0',
      '3000-5000 r--s 00000000 00:01 7 /memfd:guest (deleted)',
      '5000-6000 ---p 00000000 00:00 0',
      '8000-9000 rw-p 00000000 00:00 0 [heap]',
      '',
    ].join('\n');
    const mapped = (position: number, byteLength: number) => areMapped([{ pa: 0, position, byteLength }], maps);
    for (const [position, byteLength] of [
      [0x1000, 0x4000],
      [0x2000, 0x1000],
      [0x4fff, 1],
      [0x8000, 0x1000],
    ] as const)
      expect(mapped(position, byteLength), `${position}`).toBe(true);
    for (const [position, byteLength] of [
      [0xfff, 0x1000],
      [0x1000, 0x4001],
      [0x5000, 0x1000],
      [0x6000, 1],
      [0x8000, 0x1001],
    ] as const)
      expect(mapped(position, byteLength), `${position}`).toBe(false);
    expect(areMapped([{ pa: 0, position: 0, byteLength: 1 }], '')).toBe(false);
  });
});

describe.runIf(process.platform === 'linux')('the memory of a process', () => {
  test('is read at its addresses, and checked', async () => {
    const own = ownMemory(0xa5);
    const { address } = await startPeer(() => {});
    const { source } = await openProcessMemory([address], [{ pa: 0, byteLength: 2 ** 20, position: own.address }]);
    onTestFinished(() => source.close());
    expect(source.pid).toBe(process.pid);
    own.bytes.set([1, 2, 3], 8190);
    const into = new Uint8Array(6);
    source.read(into, own.address + 8189);
    expect([...into]).toEqual([0, 1, 2, 3, 0, 0]);
    source.check();
    expect(() => source.read(into, 0)).toThrow(expect.objectContaining({ code: 'read-failed' }));
    source.close();
    source.close();
    expect(() => source.check()).toThrow(expect.objectContaining({ code: 'closed' }));
  });

  test('that has ended is gone', async () => {
    const folder = temporaryFolder();
    const path = join(folder, 'a.sock');
    const { pid, kill } = await startListener(path, folder);
    const address = Number(`0x${/^([\da-f]+)-/.exec(readFileSync(`/proc/${pid}/maps`, 'utf8'))![1]}`);
    const { source } = await openProcessMemory([path], [{ pa: 0, byteLength: 4096, position: address }]);
    onTestFinished(() => source.close());
    source.check();
    await kill();
    expect(() => source.check()).toThrow(unavailable(new RegExp(`process ${pid}, QEMU, has ended`)));
    expect(() => new ProcessMemory(pid, address)).toThrow(unavailable(/is gone: it has ended/));
  });

  test('that only hands the socket on is not QEMU, and the next socket is tried', async () => {
    const own = ownMemory(1);
    const regions = [{ pa: 0, byteLength: 4096, position: own.address }];
    const folder = temporaryFolder();
    const forwarder = await startListener(join(folder, 'forward.sock'), folder);
    const { address } = await startPeer(() => {});
    const forwarded = join(folder, 'forward.sock');
    const { source } = await openProcessMemory([forwarded, address], regions);
    source.close();
    expect(source.pid).toBe(process.pid);
    await expect(openProcessMemory([forwarded, join(dirname(address), 'x')], regions)).rejects.toThrow(
      unavailable(new RegExp(`process ${forwarder.pid} \\(.*\\) listens, but has no RAM of the guest; no process`)),
    );
  });
});
