/** Tables and reports of a terminal of 80 columns: no line is broken by the terminal, wherever it likes. */
import { stripVTControlCharacters } from 'node:util';
import { expect, test } from 'vitest';
import { reportText } from '../../../src/cli/commands/doctor/report.ts';
import { processTable } from '../../../src/cli/commands/ps/ps-output.ts';
import { vmLines } from '../../../src/cli/commands/vms/run-vms.ts';
import { TextOutput } from '../../../src/sinks/text-output.ts';
import { Recorder } from '../../sinks/examples.ts';

const SOCKET = 'unix:/var/lib/libvirt/qemu/domain-12-a-long-name/monitor.sock';

test('doctor wraps between words, below what it explains', async () => {
  const detail = `${SOCKET} answers, and says more than fits beside its title in a line`;
  const checks = [
    { name: 'gdb', outcome: 'missing', detail, remedy: `start QEMU with -gdb ${SOCKET},server=on` },
  ] as const;
  const output = new TextOutput(Object.assign(new Recorder(), { isTTY: true, columns: 100 }));
  const lines = stripVTControlCharacters(await reportText(checks, output)).split('\n');
  for (const line of lines) expect(line.length).toBeLessThanOrEqual(100);
  expect(lines[1]).toMatch(/^ {25}\S/);
  expect(lines.join(' ').replaceAll(/ +/g, ' ')).toContain(detail);
});

test('ps cuts the end of a long name', () => {
  const process = { pid: 7, parent: 2, euid: 0, state: 'I', threads: [{}], roots: [], isKernelThread: true };
  const command = 'kworker/0:2-events_power_efficient_and_more_of_it_than_fits';
  const [, line] = processTable([{ ...process, command } as never], 80);
  expect(line).toMatch(/^ +7 .*\[kworker\/0:2-.*…$/);
  expect(line).toHaveLength(80);
});

test('vms has the sockets of each VM below it', () => {
  const vm = { pid: 10928, name: 'web', accelerator: 'kvm', memoryBytes: 2 ** 30, sharesMemory: true } as const;
  const lines = vmLines([{ ...vm, modes: ['sampled'], missing: ['-gdb unix:…'], qmp: SOCKET, gdb: undefined }]);
  expect(lines).toEqual([
    '  pid  name  accelerator  ram  watch    missing',
    '10928  web   kvm           1G  sampled  -gdb',
    `       qmp ${SOCKET}`,
    '       gdb -',
  ]);
});
