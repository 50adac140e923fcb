/** Checks QMP: the version of QEMU, whether the guest runs, its accelerator and its vCPUs. */
import { QmpClient, qmpRefusalOf, readRunState } from '../../../drivers/qemu/index.ts';
import { canResume } from './run-state.ts';
import { type Check, failedBy } from './checks.ts';
import { qmpFlag } from './flags.ts';

export interface QmpFindings {
  readonly checks: readonly Check[];
  /** Both undefined if QMP does not answer. */
  readonly qmp?: QmpClient;
  readonly state?: string;
}

/** The meaning of states other than `running`: qapi/run-state.json, RunState. */
const STATES: Readonly<Record<string, string>> = {
  paused: 'paused: by a user, or by a debugger that died; ptmon leaves it paused',
  prelaunch: 'prelaunch: QEMU was started with -S, and no client has started the guest; ptmon leaves it so',
  debug: 'debug: a debugger stopped it and has disconnected',
};

export async function checkQmp(
  address: string | undefined,
  options: { readonly signal: AbortSignal; readonly timeoutMs?: number },
): Promise<QmpFindings> {
  if (address === undefined) {
    const detail = 'no --qmp given; watching needs it, except with --ram-file alone';
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
  const detail = STATES[state] ?? `${state}: the guest does not run, and a debugger must not resume it`;
  if (!canResume(state)) return { name: 'state', outcome: 'failed', detail };
  const remedy = 'ptmon doctor --release resumes it';
  return { name: 'state', outcome: state === 'debug' ? 'failed' : 'ok', detail, remedy };
}

async function acceleratorCheck(qmp: QmpClient): Promise<Check> {
  const kvm = await ask<{ readonly enabled?: unknown }>(qmp, 'query-kvm');
  if (kvm?.enabled !== true) {
    return { name: 'accelerator', outcome: 'ok', detail: 'not KVM; TCG, unless QEMU was started with another one' };
  }
  const detail =
    'KVM: --mode exact for one address, by the debug registers of the processor; --mode sample for the rest';
  return { name: 'accelerator', outcome: 'ok', detail };
}

async function vcpuCheck(qmp: QmpClient): Promise<Check> {
  const cpus = await ask<readonly { readonly target?: unknown }[]>(qmp, 'query-cpus-fast');
  if (!Array.isArray(cpus)) return { name: 'vcpus', outcome: 'failed', detail: 'QEMU does not list its vCPUs' };
  const targets = [
    ...new Set(
      cpus.map(({ target }: { readonly target?: unknown }) => (typeof target === 'string' ? target : 'unknown')),
    ),
  ];
  const detail = `${cpus.length}, ${targets.join(' and ')}`;
  const isX86 = targets.every((target) => ['x86_64', 'i386', 'unknown'].includes(target));
  return isX86
    ? { name: 'vcpus', outcome: 'ok', detail }
    : { name: 'vcpus', outcome: 'failed', detail: `${detail}: ptmon supports only x86` };
}

/** Undefined if QEMU rejects the command. */
async function ask<T>(qmp: QmpClient, command: string): Promise<T | undefined> {
  try {
    return (await qmp.execute(command)) as T;
  } catch (error) {
    if (qmpRefusalOf(error) === undefined) throw error;
    return undefined;
  }
}
