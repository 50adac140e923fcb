/** The header of a qcow2 image, and its table of snapshots (QEMU, docs/interop/qcow2.txt). Numbers are big-endian. */
import { hex } from '../../../core/address/va.ts';
import { corrupt, type DumpBytes, readPart } from '../dump-bytes.ts';

const MAGIC = 'QFI\xfb';
const V2_HEADER_BYTES = 72;
const V3_HEADER_BYTES = 104;
/** Where the header has its fields. */
const CLUSTER_BITS = 20;
const DISK_BYTES = 24;
const CRYPT_METHOD = 32;
const SNAPSHOT_COUNT = 60;
const SNAPSHOTS = 64;
const INCOMPATIBLE_FEATURES = 72;
/** Not closed properly, and marked corrupt: both can be read all the same. */
const HARMLESS_FEATURES = 0b11n;
const FEATURES = ['', '', 'an external data file', 'compression of another type', 'extended L2 entries'];
/** QEMU's own bounds (block/qcow2.h). */
const MIN_CLUSTER_BITS = 9;
const MAX_CLUSTER_BITS = 21;
const MAX_SNAPSHOTS = 65_536;

const SNAPSHOT_BYTES = 40;
/** Of what is behind the fixed part: the size of the state as 64 bits, and that of the disk. */
const STATE_AND_DISK_BYTES = 16;

export interface Snapshot {
  readonly name: string;
  readonly l1At: number;
  readonly l1Entries: number;
  /** Bytes of the machine's state, 0 for a snapshot of the disk alone. */
  readonly stateBytes: number;
  readonly diskBytes: number;
  /** Seconds since 1970. */
  readonly date: number;
}

export interface Qcow2Header {
  readonly clusterBits: number;
  readonly snapshots: readonly Snapshot[];
}

/** @param head the first bytes of a file */
export function isQcow2(head: Buffer): boolean {
  return head.toString('latin1', 0, MAGIC.length) === MAGIC;
}

/** @throws PtmonError `corrupt-input` for one that is damaged, encrypted, or has its data elsewhere */
export function readQcow2Header(bytes: DumpBytes): Qcow2Header {
  const fixed = readPart(bytes, 0, V2_HEADER_BYTES, 'the header of a qcow2 image');
  const version = fixed.readUInt32BE(4);
  if (version !== 2 && version !== 3)
    throw corrupt(bytes.name, 4, `version ${version} of qcow2 is not known, 2 and 3 are`);
  if (version === 3) expectReadable(bytes);
  if (fixed.readUInt32BE(CRYPT_METHOD) !== 0) {
    throw corrupt(bytes.name, CRYPT_METHOD, 'the qcow2 image is encrypted: decrypt it with qemu-img convert first');
  }
  const clusterBits = fixed.readUInt32BE(CLUSTER_BITS);
  if (clusterBits < MIN_CLUSTER_BITS || clusterBits > MAX_CLUSTER_BITS) {
    throw corrupt(bytes.name, CLUSTER_BITS, `clusters of 2^${clusterBits} bytes are not possible in qcow2`);
  }
  const count = fixed.readUInt32BE(SNAPSHOT_COUNT);
  if (count > MAX_SNAPSHOTS) throw corrupt(bytes.name, SNAPSHOT_COUNT, `${count} snapshots are more than qcow2 has`);
  const snapshots: Snapshot[] = [];
  let at = u64(fixed, SNAPSHOTS);
  for (let index = 0; index < count; index++) {
    const { snapshot, next } = readSnapshot(bytes, at, u64(fixed, DISK_BYTES));
    snapshots.push(snapshot);
    at = next;
  }
  return { clusterBits, snapshots };
}

function expectReadable(bytes: DumpBytes): void {
  const header = readPart(bytes, 0, V3_HEADER_BYTES, 'the header of a qcow2 image');
  const features = header.readBigUInt64BE(INCOMPATIBLE_FEATURES) & ~HARMLESS_FEATURES;
  // Other compression: of the disk's clusters, not of a state's.
  const hindering = features & ~8n;
  if (hindering === 0n) return;
  const bit = hindering.toString(2).length - 1;
  const what = FEATURES[bit] ?? `feature ${bit}`;
  throw corrupt(bytes.name, INCOMPATIBLE_FEATURES, `the qcow2 image has ${what}, which ptmon does not read`);
}

function readSnapshot(
  bytes: DumpBytes,
  at: number,
  diskBytes: number,
): { readonly snapshot: Snapshot; readonly next: number } {
  const fixed = readPart(bytes, at, SNAPSHOT_BYTES, 'a snapshot of a qcow2 image');
  const [idBytes, nameBytes, extraBytes] = [fixed.readUInt16BE(12), fixed.readUInt16BE(14), fixed.readUInt32BE(36)];
  if (extraBytes > 1024)
    throw corrupt(bytes.name, at + 36, `${hex(extraBytes)} bytes of a snapshot's extra data are too many`);
  const extra = readPart(bytes, at + SNAPSHOT_BYTES, Math.min(extraBytes, STATE_AND_DISK_BYTES), "a snapshot's sizes");
  const nameAt = at + SNAPSHOT_BYTES + extraBytes + idBytes;
  const stateBytes = extra.length >= 8 ? u64(extra, 0) : fixed.readUInt32BE(32);
  return {
    snapshot: {
      name: readPart(bytes, nameAt, nameBytes, "a snapshot's name").toString('utf8'),
      l1At: u64(fixed, 0),
      l1Entries: fixed.readUInt32BE(8),
      stateBytes,
      diskBytes: extra.length >= STATE_AND_DISK_BYTES ? u64(extra, 8) : diskBytes,
      date: fixed.readUInt32BE(16),
    },
    next: Math.ceil((nameAt + nameBytes) / 8) * 8,
  };
}

function u64(part: Buffer, at: number): number {
  return part.readUInt32BE(at) * 2 ** 32 + part.readUInt32BE(at + 4);
}
