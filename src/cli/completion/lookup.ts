/** The VMs of this host, and the processes of a guest, for completion. A guest is read while it runs: completion never stops it. */
import type { Vm } from '../../guest/discovery/list-vms.ts';
import type { Lookup } from './suggest.ts';

/** Longer than this, nobody waits for a completion. */
const TIMEOUT_MS = 2500;

/** @param list returns the VMs; defaults to those of this host */
export function liveLookup(list?: () => readonly Vm[]): Lookup {
  const vms = async (): Promise<readonly Vm[]> => {
    const { listVms } = await import('../../guest/discovery/list-vms.ts');
    return (list ?? listVms)();
  };
  return {
    async vms() {
      const all = await vms();
      const isUnique = (wanted: string) => all.filter(({ name }) => name === wanted).length === 1;
      return all.map(({ name, pid, accelerator }) =>
        isUnique(name)
          ? { value: name, description: `PID ${pid}, ${accelerator}` }
          : { value: String(pid), description: `${name}, ${accelerator}` },
      );
    },
    async processes(words) {
      const qmp = valueIn(words, '--qmp') ?? qmpOf(await vms(), valueIn(words, '--vm'));
      return qmp === undefined ? [] : readProcesses(qmp).catch(() => []);
    },
  };
}

function qmpOf(vms: readonly Vm[], wanted: string | undefined): string | undefined {
  const fitting = vms.filter(({ name, pid }) => wanted === undefined || name === wanted || String(pid) === wanted);
  return fitting.length === 1 ? fitting[0]?.qmp : undefined;
}

async function readProcesses(qmp: string) {
  const { openQemuSampling } = await import('../../drivers/qemu/sample/open.ts');
  const { kernelCache, openLinux } = await import('../../linux/index.ts');
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const driver = await openQemuSampling({ qmp, signal, timeoutMs: TIMEOUT_MS });
  try {
    const linux = await openLinux(driver, { cache: kernelCache(), signal });
    const { processes } = await linux.processes();
    return processes
      .filter(({ mm }) => mm !== null)
      .map(({ pid, command }) => ({ value: String(pid), description: command, command }));
  } finally {
    await driver.close();
  }
}

/** The value of an option: `--vm web` or `--vm=web`. */
function valueIn(words: readonly string[], long: string): string | undefined {
  const at = words.indexOf(long);
  return at === -1 ? words.find((word) => word.startsWith(`${long}=`))?.slice(long.length + 1) : words[at + 1];
}
