/** What QEMU was told to take its guest's RAM from: the memory backends among its objects. */
import type { QmpClient } from '../qmp/index.ts';
import { qmpRefusalOf } from '../qmp/index.ts';

export interface RamBackend {
  /** Also the name of its block of RAM. */
  readonly id: string;
  /** `memory-backend-file`, `memory-backend-memfd`, `memory-backend-ram`, … */
  readonly type: string;
  /** Of its file or the folder of its nameless file, as QEMU sees it; null where there is none. */
  readonly path: string | null;
  /** Whether the guest's writes reach the file. */
  readonly isShared: boolean;
  readonly byteLength: number;
  /** Where the RAM begins in the file. */
  readonly fileOffset: number;
}

/** @throws PtmonError where QEMU does not answer; a QEMU without such objects has none */
export async function listRamBackends(qmp: QmpClient): Promise<readonly RamBackend[]> {
  const objects = await ask(qmp, 'qom-list', { path: '/objects' });
  const listed = Array.isArray(objects) ? (objects as { readonly name: string; readonly type: string }[]) : [];
  const found = listed.flatMap(({ name, type }) => {
    const backend = /^child<(memory-backend-\w+)>$/.exec(type)?.[1];
    return backend === undefined ? [] : [{ id: name, type: backend }];
  });
  return Promise.all(
    found.map(async ({ id, type }) => {
      const read = (property: string) => ask(qmp, 'qom-get', { path: `/objects/${id}`, property });
      const [path, share, size, offset] = await Promise.all(['mem-path', 'share', 'size', 'offset'].map(read));
      return {
        id,
        type,
        path: typeof path === 'string' && path !== '' ? path : null,
        isShared: share === true,
        byteLength: Number(size ?? 0),
        // Known to QEMU 8.1 and newer; before, the RAM began where the file does.
        fileOffset: Number(offset ?? 0),
      };
    }),
  );
}

/** Undefined where QEMU refuses. */
async function ask(qmp: QmpClient, command: string, args: { path: string; property?: string }): Promise<unknown> {
  try {
    return await qmp.execute(command, args);
  } catch (error) {
    if (qmpRefusalOf(error) === undefined) throw error;
    return undefined;
  }
}
