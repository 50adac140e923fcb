/** What QMP answers: who it is, whether the guest runs, and on what. */
import { QmpClient, qmpRefusalOf, readRunState } from '../../../drivers/qemu/index.ts';
import { canBeLetRun } from '../../live/run-state.ts';
import { type Check, failedBy } from './checks.ts';
import { qmpFlag, TCG_FLAG } from './flags.ts';

export interface QmpFindings {
  readonly checks: readonly Check[];
  /** Both undefined where QMP does not answer. */
  readonly qmp?: QmpClient;
  readonly state?: string;
}

/** What a state that is not `running` means: qapi/run-state.json, RunState. */
const STATES: Readonly<Record<string, string>> = {
  paused: 'paused: by a user, or by a debugger that died; it stays so',
  prelaunch: 'prelaunch: QEMU was started with -S and nobody has let the guest run; it stays so',
  debug: 'debug: a debugger stopped it and is gone',
};

export async function checkQmp(
  address: string | undefined,
  options: { readonly signal: AbortSignal; readonly timeoutMs?: number },
): Promise<QmpFindings> {
  if (address === undefined) {
    const detail = 'no --qmp given; every way to watch but a RAM file alone takes it';
    return { checks: [{ name: 'qmp', outcome: 'missing', detail, remedy: qmpFlag() }] };
  }
  let qmp: QmpClient;
  try {
    qmp = await QmpClient.connect(address, options);
  } catch (error) {
    return { checks: [failedBy('qmp', error, qmpFlag(address))] };
  }
  try {
    const { version, package: build } = qmp.greeting;
    const detail = `${qmp.address}: QEMU ${version.join('.')}${build === '' ? '' : ` (${build})`}`;
    const state = await readRunState(qmp);
    const checks: Check[] = [{ name: 'qmp', outcome: 'ok', detail }, stateCheck(state)];
    checks.push(await acceleratorCheck(qmp), await vcpuCheck(qmp));
    return { checks, qmp, state };
  } catch (error) {
    await qmp.close();
    return { checks: [failedBy('qmp', error)] };
  }
}

function stateCheck(state: string): Check {
  if (state === 'running') return { name: 'state', outcome: 'ok', detail: 'running' };
  const detail = STATES[state] ?? `${state}: it does not run, and letting it run is not for a debugger to do`;
  if (!canBeLetRun(state)) return { name: 'state', outcome: 'failed', detail };
  const remedy = 'ptmon doctor --release lets it run';
  return { name: 'state', outcome: state === 'debug' ? 'failed' : 'ok', detail, remedy };
}

async function acceleratorCheck(qmp: QmpClient): Promise<Check> {
  const kvm = await ask<{ readonly enabled?: unknown }>(qmp, 'query-kvm');
  if (kvm?.enabled !== true) {
    return { name: 'accelerator', outcome: 'ok', detail: 'not KVM: TCG, unless QEMU was told otherwise' };
  }
  const detail = 'KVM: sampling; for exact watching it has four watchpoints, which are too few';
  return {
    name: 'accelerator',
    outcome: 'missing',
    detail,
    remedy: `${TCG_FLAG} (instead of KVM, for exact watching)`,
  };
}

async function vcpuCheck(qmp: QmpClient): Promise<Check> {
  const cpus = await ask<readonly { readonly target?: unknown }[]>(qmp, 'query-cpus-fast');
  if (!Array.isArray(cpus)) return { name: 'vcpus', outcome: 'failed', detail: 'QEMU does not list its processors' };
  const targets = [
    ...new Set(
      cpus.map(({ target }: { readonly target?: unknown }) => (typeof target === 'string' ? target : 'unknown')),
    ),
  ];
  const detail = `${cpus.length}, ${targets.join(' and ')}`;
  const isX86 = targets.every((target) => ['x86_64', 'i386', 'unknown'].includes(target));
  return isX86
    ? { name: 'vcpus', outcome: 'ok', detail }
    : { name: 'vcpus', outcome: 'failed', detail: `${detail}: only x86 is known here` };
}

/** Undefined where QEMU refuses. */
async function ask<T>(qmp: QmpClient, command: string): Promise<T | undefined> {
  try {
    return (await qmp.execute(command)) as T;
  } catch (error) {
    if (qmpRefusalOf(error) === undefined) throw error;
    return undefined;
  }
}
