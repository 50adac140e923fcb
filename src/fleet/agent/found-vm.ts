/** What an agent can watch: the VMs of the host, and recordings that stand for VMs. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { noQmpText } from '../../guest/discovery/choose-vm.ts';
import { listVms, type Vm } from '../../guest/discovery/list-vms.ts';
import { matchesName } from '../../linux/index.ts';
import type { Policy, WatchRule } from '../policy/policy.ts';

export type WatchTarget =
  | { readonly kind: 'live'; readonly qmp: string; readonly gdb: string | undefined }
  | { readonly kind: 'trace'; readonly file: string; readonly speed: number | undefined };

export interface FoundVm {
  /** Differs each time that the VM starts. */
  readonly boot: string;
  readonly name: string;
  /** Undefined where it cannot be watched: `problem` says why. */
  readonly target: WatchTarget | undefined;
  readonly problem?: string;
}

export interface WantedVm extends FoundVm {
  readonly rule: WatchRule;
}

/** The VMs that a rule names, each with the first such rule. */
export function findVms({ rules, traces }: Policy, list: () => readonly Vm[] = listVms): readonly WantedVm[] {
  const found = [
    ...list().map(vmOf),
    ...traces.map(({ file, name, speed }) => ({
      boot: digest('trace', file, name),
      name,
      target: { kind: 'trace' as const, file, speed },
    })),
  ];
  return found.flatMap((vm) => {
    const rule = rules.find(({ vms }) => vms.some((pattern) => matchesName(pattern, vm.name)));
    return rule === undefined ? [] : [{ ...vm, rule }];
  });
}

function vmOf({ pid, name, qmp, gdb, missing }: Vm): FoundVm {
  const boot = digest(textOf('/proc/sys/kernel/random/boot_id'), String(pid), startOf(pid));
  if (qmp !== undefined) return { boot, name, target: { kind: 'live', qmp, gdb } };
  return { boot, name, target: undefined, problem: noQmpText({ missing }) };
}

/** When a process began, in ticks since the host did: proc(5), /proc/PID/stat, field 22. Its name may contain spaces and parentheses. */
export function startOf(pid: number): string {
  const stat = textOf(`/proc/${pid}/stat`);
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
}

function digest(...parts: readonly string[]): string {
  return createHash('sha256').update(parts.join('\0')).digest('hex').slice(0, 16);
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
