/** The process that knows of written pages: what is made of its answers. A script stands in for it. */
import process from 'node:process';
import { describe, expect, test } from 'vitest';
import { WrittenPages } from '../../../../src/drivers/qemu/proof/written-pages.ts';
import { pretend, VARIABLE } from './pretended-helper.ts';

const refused = (message: RegExp) =>
  expect.objectContaining({ code: 'source-unavailable', message: expect.stringMatching(message) });

describe('the process that knows of written pages', () => {
  test('is told which pages to protect, and tells which were written', async () => {
    pretend(`echo ready
      while read -r line; do
        case "$line" in
          "register 7f0000000000 200000 1000" | "protect 7f0000001000 7f0000002000") echo ok ;;
          scan) echo written 7f0000002000 end ;;
          *) echo "error command 22 $line" ;;
        esac
      done`);
    const pages = await WrittenPages.open(1);
    await pages.register({ start: 0x7f00_0000_0000, byteLength: 0x20_0000, pageBytes: 4096 });
    await pages.protect([0x7f00_0000_1000, 0x7f00_0000_2000]);
    expect(await pages.scan()).toEqual([0x7f00_0000_2000]);
    await expect(pages.protect([0])).rejects.toThrow(refused(/unexpected answer "error command 22 protect 0"/));
    await pages.close();
    await pages.close();
    await expect(pages.scan()).rejects.toThrow(refused(/it has ended/));
  });

  test.each([
    ['attach 1 Operation not permitted', /may not be traced by this user: run as root, or with CAP_SYS_PTRACE/],
    [
      'attach 11 Resource temporarily unavailable',
      /main thread cannot be stopped: Resource temporarily unavailable \(11\)/,
    ],
    ['ppoll 16 Device or resource busy', /main thread was busy for a second: try again/],
    ['userfaultfd 38 Function not implemented', /CONFIG_USERFAULTFD, and no sandbox/],
    ['features 22 Invalid argument', /does not note writes: Invalid argument \(22\)\. ptmon needs Linux 6\.7/],
    ['pagemap 25 Inappropriate ioctl for device', /ptmon needs Linux 6\.7 or newer/],
  ])('that ends with "error %s"', async (answer, why) => {
    pretend(`echo "error ${answer}"; exit 1`);
    await expect(WrittenPages.open(1)).rejects.toThrow(refused(why));
  });

  test.each([
    ['register 16 Device or resource busy', /tracked already, by another ptmon or by a snapshot or migration/],
    ['register 22 Invalid argument', /does not note writes to memory of this kind/],
  ])('that answers "error %s" to a registration', async (answer, why) => {
    pretend(`echo ready; while read -r line; do echo "error ${answer}"; done`);
    const pages = await WrittenPages.open(1);
    const area = { start: 4096, byteLength: 4096, pageBytes: 4096 };
    await expect(pages.register(area)).rejects.toThrow(refused(why));
    await pages.close();
  });

  test.each([
    ['is killed while it answers', 'printf "written 7f0000002000 7f00"; kill -9 $$'],
    ['cannot ask for all pages', 'echo "written 7f0000002000"; echo "error scan 12 Cannot allocate memory"'],
  ])('that %s has not told which pages were written', async (_, scan) => {
    pretend(`echo ready; read -r line; ${scan}`);
    const pages = await WrittenPages.open(1);
    await expect(pages.scan()).rejects.toThrow(refused(/did not finish its answer/));
    await pages.close();
  });

  test('that cannot be started, or ends in between', async () => {
    pretend('kill -9 $$');
    await expect(WrittenPages.open(1)).rejects.toThrow(refused(/it has ended \(SIGKILL\)/));
    process.env[VARIABLE] = '/nowhere/written-pages';
    await expect(WrittenPages.open(1)).rejects.toThrow(refused(/ENOENT/));
    pretend('echo ready; read -r line; exit 3');
    const pages = await WrittenPages.open(1);
    await expect(pages.scan()).rejects.toThrow(refused(/it has ended \(exit code 3\)/));
  });
});
