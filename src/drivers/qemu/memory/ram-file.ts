/** The way through files: RAM that QEMU was told to keep in shared files, read on this host. */
import { statSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { PtmonError } from '../../../core/error.ts';
import { type MemoryPart, RamFile } from '../../ramfile/index.ts';
import type { RamPiece } from './memory-tree.ts';
import type { RamBackend } from './ram-backends.ts';

/** What QEMU must be started with. */
export const RAM_FILE_FLAGS =
  '-object memory-backend-file,id=mem,size=SIZE,mem-path=/dev/shm/guest,share=on -machine memory-backend=mem';

/** What to do about a file without a name: guests of libvirt and guests on huge pages have one. */
const NAMELESS =
  '--ram-file /proc/PID/fd/N names it, PID being QEMU and N its descriptor of the file (ls -l /proc/PID/fd)';

/**
 * Opens the files of all memory backends that are in the map. Firmware and video memory are no part of them.
 *
 * @param ramFile the path on this host of the one RAM file, where it is not the path that QEMU knows
 * @throws PtmonError `source-unavailable`, saying which backend cannot be read as a file, and why
 */
export function openRamFiles(
  pieces: readonly RamPiece[],
  backends: readonly RamBackend[],
  ramFile?: string,
): readonly MemoryPart<RamFile>[] {
  const used = backends
    .map((backend) => ({ backend, pieces: pieces.filter(({ block }) => isBlockOf(backend, block)) }))
    .filter((one) => one.pieces.length > 0);
  if (used.length === 0) throw unavailable(`QEMU keeps its RAM in no file; start it with ${RAM_FILE_FLAGS}`);
  if (ramFile !== undefined && used.length > 1) {
    const files = used.map(({ backend }) => backend.id).join(', ');
    throw unavailable(`the guest's RAM is in ${used.length} backends (${files}), so one file does not hold all of it`);
  }
  const parts: MemoryPart<RamFile>[] = [];
  try {
    for (const { backend, pieces } of used) parts.push(openPart(backend, pieces, ramFile));
    return parts;
  } catch (error) {
    for (const { source } of parts) source.close();
    throw error;
  }
}

/** Older machine types name the block after the backend's place among QEMU's objects. */
function isBlockOf({ id }: RamBackend, block: string): boolean {
  return block === id || block === `/objects/${id}`;
}

function openPart(backend: RamBackend, pieces: readonly RamPiece[], ramFile?: string): MemoryPart<RamFile> {
  const { id, type, isShared, fileOffset } = backend;
  const path = ramFile ?? backend.path;
  if (ramFile === undefined && type === 'memory-backend-memfd') {
    throw unavailable(`${id} is a memory-backend-memfd, a file without a path; ${NAMELESS}`);
  }
  if (ramFile === undefined && type !== 'memory-backend-file') {
    throw unavailable(`${id} is a ${type}, which has no file; start QEMU with ${RAM_FILE_FLAGS}`);
  }
  if (path === null) throw unavailable(`QEMU does not say where the file of ${id} is`);
  if (!isShared) {
    throw unavailable(`${id} is not shared, so the guest's writes do not reach ${path}; give QEMU share=on for it`);
  }
  if (ramFile === undefined) expectFileAt(id, path);
  const source = new RamFile(path);
  const needed = fileOffset + Math.max(...pieces.map(({ offset, byteLength }) => offset + byteLength));
  if (source.byteLength < needed) {
    source.close();
    throw unavailable(
      `${path} has ${source.byteLength} bytes, ${id} needs ${needed}: it is not the file of this guest`,
    );
  }
  const regions = pieces.map(({ pa, byteLength, offset }) => ({ pa, byteLength, position: fileOffset + offset }));
  return { source, regions };
}

/** @throws PtmonError for a path that QEMU names and that is no file on this host, with the path that may be one */
function expectFileAt(id: string, path: string): void {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats?.isDirectory() === true) {
    throw unavailable(
      `the path of ${id} is the folder ${path}, in which QEMU keeps a file without a name; ${NAMELESS}`,
    );
  }
  if (stats !== undefined || !isAbsolute(path)) return;
  throw unavailable(
    `the file of ${id}, ${path}, does not exist on this host; if QEMU runs in a container, give --ram-file ` +
      `/proc/PID/root${path}, PID being QEMU's process on this host`,
  );
}

function unavailable(why: string): PtmonError {
  return new PtmonError('source-unavailable', why);
}
