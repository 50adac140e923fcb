/**
 * The state of a machine that `savevm` has put into a qcow2 image: a migration stream, in the clusters behind those of the disk, by the
 * tables of the snapshot (docs/interop/qcow2.txt; `qcow2_vm_state_offset` in block/qcow2.h).
 */
import { hex } from '../../../core/address/va.ts';
import { PtmonError } from '../../../core/error.ts';
import { corrupt, type DumpBytes, expectInside, hasBytes, readPart } from '../dump-bytes.ts';
import { readQcow2Header, type Snapshot } from './qcow2-header.ts';

const ENTRY_BYTES = 8;
/** Bits 9 to 55 of an entry. */
const OFFSET_MASK = 0xff_ffff_ffff_fe00n;
const COMPRESSED = 1n << 62n;
const ALL_ZEROES = 1n;
/** Tables that are held: each tells of 512 MiB with clusters of the usual 64 KiB. */
const MAX_TABLES = 64;

export class SnapshotState implements DumpBytes {
  readonly name: string;
  readonly byteLength: number;
  readonly warnings: readonly string[];
  /** Of the snapshot. */
  readonly snapshotName: string;
  readonly #bytes: DumpBytes;
  readonly #snapshot: Snapshot;
  readonly #clusterBits: number;
  /** Where the state begins in the addresses of the snapshot's disk. */
  readonly #start: number;
  /** By the index in the snapshot's first table; undefined where nothing is allocated. */
  readonly #tables = new Map<number, Buffer | undefined>();

  private constructor(bytes: DumpBytes, snapshot: Snapshot, clusterBits: number, others: readonly Snapshot[]) {
    this.name = bytes.name;
    this.byteLength = snapshot.stateBytes;
    this.snapshotName = snapshot.name;
    this.#bytes = bytes;
    this.#snapshot = snapshot;
    this.#clusterBits = clusterBits;
    const tableBytes = 2 ** (2 * clusterBits - 3);
    this.#start = Math.ceil(snapshot.diskBytes / tableBytes) * tableBytes;
    const names = others.map(({ name }) => JSON.stringify(name)).join(', ');
    this.warnings =
      others.length === 0
        ? []
        : [
            `of the snapshots with memory the newest is read, ${JSON.stringify(snapshot.name)}; for the others (${names}), ` +
              'start QEMU with -loadvm NAME -S and take dump-guest-memory',
          ];
  }

  /** That of the newest snapshot that has one. @throws PtmonError `corrupt-input` where none has, and for an image that is damaged */
  static open(bytes: DumpBytes): SnapshotState {
    const { clusterBits, snapshots } = readQcow2Header(bytes);
    const [newest, ...others] = snapshots.filter(({ stateBytes }) => stateBytes > 0).sort((a, b) => b.date - a.date);
    if (newest !== undefined) return new SnapshotState(bytes, newest, clusterBits, others);
    const has = snapshots.length === 0 ? 'no snapshot' : `${snapshots.length} snapshots, none with memory`;
    throw new PtmonError(
      'corrupt-input',
      `${bytes.name} is a disk image of QEMU (qcow2) with ${has}: save the running machine with savevm, or dump it with dump-guest-memory`,
      { offset: 0 },
    );
  }

  /** What has no cluster is zeroes. */
  read(into: Uint8Array, position: number): void {
    if (position + into.length > this.byteLength) {
      throw corrupt(
        this.name,
        position,
        `the saved state ends at ${this.byteLength}, before ${into.length} bytes are read`,
      );
    }
    const clusterBytes = 2 ** this.#clusterBits;
    for (let done = 0; done < into.length; ) {
      const at = this.#start + position + done;
      const count = Math.min(into.length - done, clusterBytes - (at % clusterBytes));
      const part = into.subarray(done, done + count);
      const cluster = this.#clusterAt(at);
      if (cluster === undefined) part.fill(0);
      else this.#bytes.read(part, cluster + (at % clusterBytes));
      done += count;
    }
  }

  has(position: number, byteLength: number): boolean {
    const clusterBytes = 2 ** this.#clusterBits;
    const end = this.#start + position + byteLength;
    for (let at = this.#start + position; at < end; at += clusterBytes - (at % clusterBytes)) {
      const cluster = this.#clusterAt(at);
      const count = Math.min(end - at, clusterBytes - (at % clusterBytes));
      if (cluster !== undefined && !hasBytes(this.#bytes, cluster + (at % clusterBytes), count)) return false;
    }
    return true;
  }

  check(): void {
    this.#bytes.check();
  }

  close(): void {
    this.#bytes.close();
  }

  /** Where in the file the cluster of an address is; undefined for one that is all zeroes. */
  #clusterAt(at: number): number | undefined {
    const clusterBytes = 2 ** this.#clusterBits;
    const slots = clusterBytes / ENTRY_BYTES;
    const cluster = Math.floor(at / clusterBytes);
    const table = this.#tableAt(Math.floor(cluster / slots));
    const slot = (cluster % slots) * ENTRY_BYTES;
    const entry = table === undefined ? 0n : table.readBigUInt64BE(slot);
    if ((entry & COMPRESSED) !== 0n) {
      throw corrupt(this.name, 0, `the cluster of ${hex(at)} is compressed, which no saved state is`);
    }
    const offset = Number(entry & OFFSET_MASK);
    return offset === 0 || (entry & ALL_ZEROES) !== 0n ? undefined : offset;
  }

  #tableAt(index: number): Buffer | undefined {
    if (this.#tables.has(index)) return this.#tables.get(index);
    const { l1At, l1Entries } = this.#snapshot;
    if (index >= l1Entries) {
      throw corrupt(this.name, l1At, `the snapshot's table of ${l1Entries} entries ends before its state does`);
    }
    const at = l1At + index * ENTRY_BYTES;
    const offset = Number(
      readPart(this.#bytes, at, ENTRY_BYTES, "an entry of a snapshot's table").readBigUInt64BE(0) & OFFSET_MASK,
    );
    const byteLength = 2 ** this.#clusterBits;
    if (offset !== 0) expectInside(this.#bytes, offset, byteLength, 'a table of a qcow2 image');
    const table = offset === 0 ? undefined : readPart(this.#bytes, offset, byteLength, 'a table of a qcow2 image');
    if (this.#tables.size === MAX_TABLES) this.#tables.clear();
    this.#tables.set(index, table);
    return table;
  }
}
