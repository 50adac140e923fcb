/** Writes a qcow2 image with snapshots, as QEMU's docs/interop/qcow2.txt has it. */
export interface WrittenSnapshot {
  readonly name: string;
  /** The machine's state; empty for a snapshot of the disk alone. */
  readonly state: Uint8Array;
  readonly date?: number;
  /** Whether sizes are in the extra data, as since QEMU 1.0. */
  readonly hasExtra?: boolean;
}

export interface Qcow2Options {
  readonly clusterBits?: number;
  readonly diskBytes?: number;
  readonly version?: 2 | 3;
}

export function qcow2Image(
  snapshots: readonly WrittenSnapshot[],
  { clusterBits = 12, diskBytes = 3 * 2 ** 20, version = 3 }: Qcow2Options = {},
): Buffer {
  const clusterBytes = 2 ** clusterBits;
  const clusters: Buffer[] = [Buffer.alloc(clusterBytes)];
  const add = (bytes: Uint8Array): number => {
    const cluster = Buffer.alloc(clusterBytes);
    cluster.set(bytes);
    return (clusters.push(cluster) - 1) * clusterBytes;
  };
  const slots = clusterBytes / 8;
  const first = Math.ceil(diskBytes / (clusterBytes * slots)) * slots;
  const entries = snapshots.map(({ name, state, date = 1_700_000_000, hasExtra = true }) => {
    const tables = new Map<number, Buffer>();
    for (let at = 0; at < state.length; at += clusterBytes) {
      const part = state.subarray(at, at + clusterBytes);
      // What is all zeroes has no cluster.
      if (part.every((byte) => byte === 0)) continue;
      const cluster = first + at / clusterBytes;
      const table = tables.get(Math.floor(cluster / slots)) ?? Buffer.alloc(clusterBytes);
      table.writeBigUInt64BE(BigInt(add(part)) | (1n << 63n), (cluster % slots) * 8);
      tables.set(Math.floor(cluster / slots), table);
    }
    const l1Entries = Math.ceil((first + Math.ceil(state.length / clusterBytes)) / slots);
    const l1 = Buffer.alloc(l1Entries * 8);
    for (const [index, table] of tables) l1.writeBigUInt64BE(BigInt(add(table)) | (1n << 63n), index * 8);
    const l1At = clusters.length * clusterBytes;
    for (let at = 0; at < l1.length; at += clusterBytes) add(l1.subarray(at, at + clusterBytes));
    const entry = Buffer.alloc(Math.ceil((40 + (hasExtra ? 16 : 0) + 1 + name.length) / 8) * 8);
    entry.writeBigUInt64BE(BigInt(l1At), 0);
    entry.writeUInt32BE(l1Entries, 8);
    entry.writeUInt16BE(1, 12);
    entry.writeUInt16BE(name.length, 14);
    entry.writeUInt32BE(date, 16);
    entry.writeUInt32BE(state.length, 32);
    if (hasExtra) {
      entry.writeUInt32BE(16, 36);
      entry.writeBigUInt64BE(BigInt(state.length), 40);
      entry.writeBigUInt64BE(BigInt(diskBytes), 48);
    }
    entry.write(`1${name}`, 40 + (hasExtra ? 16 : 0), 'latin1');
    return entry;
  });
  const list = Buffer.concat(entries);
  const listAt = clusters.length * clusterBytes;
  for (let at = 0; at < list.length; at += clusterBytes) add(list.subarray(at, at + clusterBytes));
  const header = clusters[0]!;
  header.write('QFI\xfb', 0, 'latin1');
  header.writeUInt32BE(version, 4);
  header.writeUInt32BE(clusterBits, 20);
  header.writeBigUInt64BE(BigInt(diskBytes), 24);
  header.writeUInt32BE(snapshots.length, 60);
  header.writeBigUInt64BE(BigInt(listAt), 64);
  header.writeUInt32BE(104, 100);
  return Buffer.concat(clusters);
}
