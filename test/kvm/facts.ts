/** What a reader of these tests' output wants to know of the machine: nothing that identifies it. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import process from 'node:process';
import { findQemu } from '../../src/drivers/qemu/launch/find-qemu.ts';

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
}

/** A parameter of a module of KVM, where that is loaded. */
function parameter(module: string, name: string): string[] {
  const value = read(`/sys/module/${module}/parameters/${name}`);
  return value === undefined ? [] : [`${module}.${name}=${value}`];
}

function qemuVersion(): string {
  try {
    return execFileSync(findQemu(), ['--version'], { encoding: 'utf8' }).split('\n')[0] ?? '';
  } catch (error) {
    return `no QEMU: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** Lines of text. */
export function machineFacts(): string[] {
  const cpu = read('/proc/cpuinfo') ?? '';
  const model = /^model name\s*: (.*)$/m.exec(cpu)?.[1] ?? 'unknown processor';
  const flags = new Set((/^flags\s*: (.*)$/m.exec(cpu)?.[1] ?? '').split(' '));
  const known = ['vmx', 'svm', 'hypervisor', 'la57'].filter((flag) => flags.has(flag));
  const parameters = [
    ...parameter('kvm_intel', 'ept'),
    ...parameter('kvm_intel', 'nested'),
    ...parameter('kvm_amd', 'npt'),
    ...parameter('kvm_amd', 'nested'),
    ...parameter('kvm', 'tdp_mmu'),
  ];
  return [
    `processor: ${model}; flags ${known.join(' ') || 'none of vmx svm hypervisor la57'}`,
    `kernel: ${release()}; ${parameters.join(' ') || 'no module of KVM is loaded'}`,
    `${qemuVersion()}; Node ${process.version}`,
  ];
}
